"""Fits a generator that is no part of this project and samples from it; runs in that generator's own environment.

`python external_fit.py NAME TRAIN.parquet OUT.parquet SEED` writes as many rows as TRAIN has, in the same columns. The
library keeps its default settings. Where it asks for categories, they are `CATEGORIES`.
"""

import sys

import pandas as pd

# Whole numbers that name something, so that no library takes them for quantities.
CATEGORIES = ["start", "end", "hour", "day_of_week", "user_type", "gender"]


def sample_tabular_argn(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fit and sample TabularARGN of mostlyai-engine (Tiwald et al. 2025)."""
    from mostlyai.engine import TabularARGN

    return TabularARGN(random_state=seed, verbose=0).fit(train).sample(n_samples=len(train))


def sample_ctgan(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fit and sample CTGAN (Xu et al. 2019)."""
    from ctgan import CTGAN

    return _fit_and_sample(CTGAN(), train, seed)


def sample_tvae(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fit and sample TVAE (Xu et al. 2019)."""
    from ctgan import TVAE

    return _fit_and_sample(TVAE(), train, seed)


def _fit_and_sample(model, train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fit a model of the ctgan library, and sample as many rows as there are."""
    model.set_random_state(seed)
    model.fit(train, [column for column in CATEGORIES if column in train])
    return model.sample(len(train))


GENERATORS = {"tabular-argn": sample_tabular_argn, "ctgan": sample_ctgan, "tvae": sample_tvae}

if __name__ == "__main__":
    name, source, target, seed = sys.argv[1:]
    GENERATORS[name](pd.read_parquet(source), int(seed)).to_parquet(target)
