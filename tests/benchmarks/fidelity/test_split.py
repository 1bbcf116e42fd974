"""The real side: tables become trips and tables again, and a run must come from the same split."""

import pandas as pd
import pytest

from benchmarks.fidelity.split import check_same_split, make_trips
from decode.evaluate.tables import ATTRIBUTES, tabulate
from rasterize.errors import InputError


def test_tables_become_trips_and_tables_again(training):
    train, places = training
    again = tabulate(make_trips(train, places), [column for column in ATTRIBUTES if column in train])
    pd.testing.assert_frame_equal(again, train, check_dtype=False)


def test_a_run_on_another_split_is_refused(run, real, tmp_path):
    check_same_split(real, run, [], 0)
    with pytest.raises(InputError, match="no trips.parquet"):
        check_same_split(real, tmp_path, [], 0)
    with pytest.raises(InputError, match="another split than the benchmark's.*--seed 3"):
        check_same_split(real.assign(split=real["split"].to_numpy()[::-1]), run, [], 3)
    with pytest.raises(InputError, match="other trips"):
        check_same_split(real.head(900), run, [], 0)
