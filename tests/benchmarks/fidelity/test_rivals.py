"""The rivals keep what they say they keep, and trees learn what depends on what."""

import numpy as np
import pytest

from benchmarks.fidelity.rivals import RIVALS, _draw_from_leaves
from benchmarks.fidelity.split import make_trips


def rows_of(table, columns):
    return set(table[list(columns)].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("rival", "kept", "broken"),
    [
        ("independent columns", [["start"], ["duration_s"]], [["start", "end"], ["hour", "minute", "day_of_week"]]),
        (
            "OD pairs and times each jointly, rest independent",
            [["start", "end"], ["day_of_week", "hour", "minute"]],
            [["start", "hour", "minute"]],
        ),
        ("sequential CART, leaf 5", [["start"], ["duration_s"]], [["start", "end", "hour", "duration_s"]]),
    ],
)
def test_rivals_keep_the_blocks_they_draw_together_and_no_more(training, rival, kept, broken):
    train, places = training
    drawn = RIVALS[rival](train, places, np.random.default_rng(0))
    assert list(drawn) == list(train) and len(drawn) == len(train)
    for columns in kept:
        assert rows_of(drawn, columns) <= rows_of(train, columns)
    for columns in broken:
        assert not rows_of(drawn, columns) <= rows_of(train, columns)


def test_trees_learn_that_long_trips_take_longer(training):
    train, places = training

    def distance_and_duration(rows):
        trips = make_trips(rows, places)
        apart = np.hypot(trips["start_lat"] - trips["end_lat"], trips["start_lng"] - trips["end_lng"])
        return np.corrcoef(apart, np.log(trips["duration_s"]))[0, 1]

    learned, shuffled = (
        distance_and_duration(RIVALS[rival](train, places, np.random.default_rng(0)))
        for rival in ("sequential CART, leaf 5", "independent columns")
    )
    assert learned > 0.7 * distance_and_duration(train) > 0.3 and abs(shuffled) < 0.15


def test_trees_draw_what_is_missing_where_it_is_missing(training):
    train, places = training
    guest = train["user_type"] == "Customer"
    holes = train.assign(birth_year=train["birth_year"].mask(guest))
    drawn = RIVALS["sequential CART, leaf 5"](holes, places, np.random.default_rng(0))
    lost = drawn["birth_year"].isna().groupby(drawn["user_type"]).mean()
    assert guest.sum() > 20 and lost["Customer"] == 1 and lost["Subscriber"] == 0


def test_values_are_drawn_from_their_own_leaf():
    leaves = np.array([3, 1, 3, 1, 7])
    wanted = np.repeat([7, 1, 3], 40)
    drawn = _draw_from_leaves(leaves * 10 + np.arange(5), leaves, wanted, np.random.default_rng(0))
    assert (drawn // 10 == wanted).all() and set(drawn) == {30, 11, 32, 13, 74}  # every value of a leaf comes up
