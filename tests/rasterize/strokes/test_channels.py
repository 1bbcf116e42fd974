"""Attributes ↔ levels and labels: every pair of encode and decode is an inverse."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.strokes.channels import (
    CategoryChannel,
    ConditionalChannel,
    CyclicChannel,
    LinearChannel,
    QuantileChannel,
    channel_from_json,
    channel_to_json,
    choose_attributes,
    read_attribute,
)
from rasterize.strokes.regression_tree import LEAF_TRIPS, Tree
from tests.spec_examples import make_trips

RNG = np.random.default_rng(0)
numbers = st.lists(st.floats(10, 1000) | st.none(), min_size=1, max_size=30)


@given(numbers, st.booleans())
def test_linear_and_log_channels_come_back(values, log):
    channel = LinearChannel(column="duration_s", low=10, high=1000, log=log)
    values = pd.Series(values, dtype=float)
    levels = channel.encode(values, RNG)
    assert np.all((levels == 0) | ((levels >= 0.2) & (levels <= 1)))
    pd.testing.assert_series_equal(channel.decode(levels), values, rtol=1e-9)


@pytest.mark.parametrize("channel", [LinearChannel(column="x"), QuantileChannel(column="x")])
def test_a_faint_level_is_missing_only_where_values_are(channel):
    faint = np.array([[0.05], [0.6]])
    whole = channel.fit(pd.Series(np.linspace(1, 9, 50)))
    gappy = channel.fit(pd.Series([*np.linspace(1, 9, 50), np.nan]))
    assert whole.decode(faint).isna().tolist() == [False, False]
    assert gappy.decode(faint).isna().tolist() == [True, False]


def test_values_outside_the_bounds_are_clipped():
    channel = LinearChannel(column="duration_s", low=10, high=20)
    assert channel.decode(channel.encode(pd.Series([0.0, 99.0]), RNG)).tolist() == [10, 20]


def test_open_bounds_are_robust():
    channel = LinearChannel(column="duration_s").fit(pd.Series([*np.linspace(0, 100, 10_000), 1e9]))
    assert 0 <= channel.low < 1 and 99 < channel.high <= 100


@given(st.lists(st.integers(1900, 2010) | st.none(), min_size=5, max_size=60), st.integers(0, 2**32 - 1))
def test_whole_numbers_come_back_from_their_quantiles(values, seed):
    values = pd.Series(values, dtype=float)
    channel = QuantileChannel(column="birth_year").fit(values)
    again = channel.decode(channel.encode(values, np.random.default_rng(seed)))
    listed = values.isna() | values.isin(channel.values)
    assert listed.mean() > 0.9 or values.notna().sum() == 0
    pd.testing.assert_series_equal(again[listed], values[listed])


def test_quantile_levels_are_spread_evenly_even_with_a_spike():
    values = pd.Series([1969.0] * 400 + list(range(1950, 2000)) * 12)
    channel = QuantileChannel(column="birth_year").fit(values)
    levels = channel.encode(values, np.random.default_rng(1))[:, 0]
    counts, _ = np.histogram(levels, bins=10, range=(0.2, 1))
    assert counts.min() > 60 and counts.max() < 140  # 100 expected, sd 9.5


def test_continuous_quantiles_come_back_between_the_knots():
    values = pd.Series(np.random.default_rng(2).lognormal(6, 1, 5000))
    channel = QuantileChannel(column="duration_s").fit(values)
    inside = values.between(channel.values[0], channel.values[-1])
    again = channel.decode(channel.encode(values, RNG))
    assert np.allclose(again[inside], values[inside], rtol=1e-6)


@given(st.lists(st.floats(0, 24, exclude_max=True) | st.none(), min_size=1, max_size=20))
def test_the_clock_is_cyclic(values):
    channel = CyclicChannel(column="time_of_day")
    values = pd.Series(values, dtype=float)
    again = channel.decode(channel.encode(values, RNG))
    assert (again.isna() == values.isna()).all()
    assert ((again - values + 12) % 24 - 12).abs().max() < 1e-9 or values.notna().sum() == 0


@given(st.lists(st.sampled_from(["classic", "electric", None]), min_size=1, max_size=20))
def test_categories_come_back(values):
    values = pd.Series(values, dtype="str")
    channel = CategoryChannel(column="rideable_type", values=("classic", "electric"))
    pd.testing.assert_series_equal(channel.decode(channel.encode(values, RNG)), values, check_dtype=False)


def make_trips_alike(count, rng):
    """Durations that are longer the farther, three times as long for customers; and the features of the trips."""
    features = pd.DataFrame(
        {
            "distance_m": np.where(rng.random(count) < 0.1, 0.0, rng.uniform(300, 5_000, count)),
            "user_type": pd.Categorical(rng.choice(["Subscriber", "Customer"], count, p=[0.9, 0.1])),
        }
    )
    slow = np.where(features["user_type"] == "Customer", 3.0, 1.0)
    return pd.Series((200 + features["distance_m"] / 3) * slow * rng.lognormal(0, 0.3, count)).round(), features


def test_conditional_ranks_are_even_whatever_is_given_and_come_back():
    values, features = make_trips_alike(20_000, np.random.default_rng(0))
    channel = ConditionalChannel(column="duration_s").fit(values, features)
    levels = channel.encode(values, RNG, features)
    far = pd.qcut(features["distance_m"], 4, labels=False, duplicates="drop")
    for some in (features["user_type"] == "Customer", far == 0, far == 3, features["distance_m"] == 0):
        assert np.quantile((levels[some, 0] - 0.2) / 0.8, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.04)
    again = channel.decode(levels, features)
    inside = (levels[:, 0] > 0.2) & (levels[:, 0] < 1)
    assert inside.mean() > 0.95  # the rest lies beyond the last knot of its group
    np.testing.assert_allclose(again[inside], values[inside], rtol=1e-5)


def test_even_ranks_bring_back_what_depends_on_what():
    values, features = make_trips_alike(20_000, np.random.default_rng(0))
    channel = ConditionalChannel(column="duration_s").fit(values, features)
    drawn = channel.decode(np.random.default_rng(1).uniform(0.2, 1, (len(values), 1)), features)
    for kind in ("Subscriber", "Customer"):
        for near in (True, False):
            some = (features["user_type"] == kind) & ((features["distance_m"] < 2_000) == near)
            assert drawn[some].median() == pytest.approx(values[some].median(), rel=0.05)


def test_no_quantile_rests_on_few_trips():
    values, features = make_trips_alike(3_000, np.random.default_rng(0))
    channel = ConditionalChannel(column="duration_s").fit(values, features)
    sizes = np.bincount(channel.find_groups(features, len(features)), minlength=len(channel.groups))
    assert len(channel.groups) > 10 and sizes.min() >= LEAF_TRIPS
    assert all(len(knots) * 4 <= size for knots, size in zip(channel.groups, sizes, strict=True))


def test_without_features_all_trips_are_alike():
    values, _ = make_trips_alike(500, np.random.default_rng(0))
    channel = ConditionalChannel(column="duration_s").fit(values)
    assert len(channel.groups) == 1
    assert channel.groups == (QuantileChannel(column="duration_s").fit(values).values,)


@pytest.mark.parametrize(
    "channel",
    [
        LinearChannel(column="a", low=0, high=2, log=True),
        QuantileChannel(column="b", values=(1.0, 2.0, 5.0), whole=True),
        CyclicChannel(column="c"),
        CategoryChannel(column="d", values=("x", "y")),
        ConditionalChannel(
            column="e",
            tree=Tree(
                inputs=("far", "kind"),
                orders=((), ("b", "a")),
                asked=(1, -1, -1),
                thresholds=(0.5, 0.0, 0.0),
                below=(1, -1, -1),
                above=(2, -1, -1),
            ),
            groups=((1.0, 2.0), (0.5, 1.0)),
        ),
    ],
)
def test_channels_through_json(channel):
    assert channel_from_json(json.loads(json.dumps(channel_to_json(channel)))) == channel


def test_defaults_follow_the_columns_and_choices_override_them():
    trips = make_trips(500, np.random.default_rng(3))
    channels, factors = choose_attributes(trips)
    assert [channel.column for channel in channels] == ["duration_s", "birth_year"]
    assert [factor.name for factor in factors] == ["hour", "day_of_week", "user_type", "gender"]
    channels, factors = choose_attributes(trips, {"hour": "off", "time_of_day": "cyclic", "user_type": "category"})
    assert [channel.column for channel in channels] == ["user_type", "duration_s", "birth_year", "time_of_day"]
    assert [factor.name for factor in factors] == ["day_of_week", "gender"]


@pytest.mark.parametrize("choice", [{"shoe_size": "factor"}, {"hour": "sideways"}])
def test_unknown_attributes_are_refused_with_what_there_is(choice):
    with pytest.raises(
        InputError, match="ways to show them: category, conditional, cyclic, factor, linear, off, quantile"
    ):
        choose_attributes(make_trips(20, np.random.default_rng(4)), choice)


def test_attributes_are_read_from_the_clock():
    trips = pd.DataFrame({"started_at": pd.to_datetime(["2019-01-07 23:30:00"])})
    assert read_attribute(trips, "hour")[0] == "23"
    assert read_attribute(trips, "day_of_week")[0] == "Monday"
    assert read_attribute(trips, "time_of_day")[0] == 23.5
