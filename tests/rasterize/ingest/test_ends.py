"""Ends: many rows fold into few different ends, and nothing is lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rasterize.ingest.ends import End

NUMBERS = st.integers(-1, 3)
DEGREES = st.sampled_from([0.0, 40.5, 40.6, np.nan])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, DEGREES, DEGREES), min_size=1, max_size=40))
def test_ends_fold_into_few_and_spread_out_again(rows):
    columns = [np.array(values, kind) for values, kind in zip(zip(*rows, strict=True), "iidd", strict=True)]
    end = End.from_arrow(End.fold(*columns).to_arrow())
    for values, folded in zip(columns, end[1:], strict=True):
        np.testing.assert_array_equal(end.spread(folded), values)
    which = np.arange(len(rows)) % 2 == 0
    assert end.count(which).sum() == which.sum()
    assert end.count(which)[end.of_row[which]].min(initial=1) >= 1


def test_docked_ends_fold_to_one_per_station():
    station = np.tile(np.arange(5, dtype=np.int32), 100)
    end = End.fold(station, station, station / 10, station / 20)
    assert len(end.lat) == 6  # and one for none
