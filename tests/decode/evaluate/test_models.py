"""Measures that train a model: fresh rows cannot be told and are of use, shuffled ones can be told and are of none."""

import numpy as np
import pandas as pd
import pytest

from decode.evaluate.models import classifier_auc, duration_r2, encode_features, user_type_auc
from tests.trip_tables import COLUMNS, make_located_table


def test_trees_cannot_tell_fresh_rows_and_can_tell_shuffled_ones():
    real, fresh = make_located_table(600, seed=1), make_located_table(600, seed=2)
    shuffled = make_located_table(600, seed=3, dependent=False)
    # three standard errors of an AUC of two times 600 rows: sqrt(1201 / (12 · 600 · 600)) = 0.017
    assert classifier_auc(fresh, real, COLUMNS, seed=0) == pytest.approx(0.5, abs=0.05)
    assert classifier_auc(shuffled, real, COLUMNS, seed=0) > 0.8

    # durations a little off their distance: trees that see the distance tell more
    nearly = fresh.assign(duration_s=fresh["duration_s"] * np.exp(np.random.default_rng(0).normal(0, 0.2, len(fresh))))
    seeing, blind = (classifier_auc(nearly, real, COLUMNS, seed=0, sees_distance=sees) for sees in (True, False))
    assert seeing > blind + 0.01
    assert classifier_auc(fresh, real, COLUMNS, seed=0) == classifier_auc(fresh, real, COLUMNS, seed=0)


def test_models_trained_on_shuffled_rows_are_of_no_use():
    real, fresh = make_located_table(600, seed=1), make_located_table(600, seed=2)
    shuffled = make_located_table(600, seed=3, dependent=False)
    assert duration_r2(fresh, real, COLUMNS, seed=0) > 0.9
    assert duration_r2(shuffled, real, COLUMNS, seed=0) < 0.1
    assert user_type_auc(fresh, real, COLUMNS, seed=0) > 0.9
    assert 0.3 < user_type_auc(shuffled, real, COLUMNS, seed=0) < 0.7
    assert user_type_auc(fresh.assign(user_type="long"), real, COLUMNS, seed=0) is None
    assert duration_r2(fresh, real.assign(duration_s=60.0), COLUMNS, seed=0) is None


def test_more_stations_than_the_trees_take_share_a_code():
    table = pd.DataFrame({"start": [f"s{k}" for k in range(700)] + ["s0"], "hour": 1})
    codes = encode_features(table, table, ["start", "hour"])["start"]
    assert codes.max() == 200 and codes.iloc[0] == codes.iloc[-1] == 0
