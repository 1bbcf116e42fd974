"""Fits a generator that is no part of this project and samples from it; runs in that generator's own environment.

`python external_fit.py NAME TRAIN.parquet OUT.parquet SEED`: as many rows as TRAIN has, in the same columns, by the
library's default settings. Station ids, hour, day, user type and gender are told to be categories where the library
asks.
"""

import sys

import pandas as pd

CATEGORIES = ["start", "end", "hour", "day_of_week", "user_type", "gender"]


def tabular_argn(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """TabularARGN of mostlyai-engine (Tiwald et al. 2025)."""
    from mostlyai.engine import TabularARGN

    return TabularARGN(random_state=seed, verbose=0).fit(train).sample(n_samples=len(train))


def ctgan(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """CTGAN (Xu et al. 2019)."""
    from ctgan import CTGAN

    return _fit_and_sample(CTGAN(), train, seed)


def tvae(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """TVAE (Xu et al. 2019)."""
    from ctgan import TVAE

    return _fit_and_sample(TVAE(), train, seed)


def _fit_and_sample(model, train: pd.DataFrame, seed: int) -> pd.DataFrame:
    model.set_random_state(seed)
    model.fit(train, [column for column in CATEGORIES if column in train])
    return model.sample(len(train))


GENERATORS = {"tabular-argn": tabular_argn, "ctgan": ctgan, "tvae": tvae}

if __name__ == "__main__":
    name, source, target, seed = sys.argv[1:]
    GENERATORS[name](pd.read_parquet(source), int(seed)).to_parquet(target)
