"""Settings: what is refused, presets, rates that follow the batch, and the sizes that doubling reaches."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgan.config import PRESETS, find_base_shape, resolve_config
from pgan.steps.schedule import ema_decay_at, penalty_weight
from rasterize.errors import InputError


@given(st.integers(4, 7), st.integers(1, 5), st.integers(0, 5), st.booleans())
def test_any_base_times_a_power_of_two_is_reached(short, ratio, doublings, upright):
    sides = (short * 2**doublings, short * ratio * 2**doublings)
    height, width = sides if upright else sides[::-1]
    h, w, found = find_base_shape(height, width, start_resolution=4)
    assert (h * 2**found, w * 2**found) == (height, width)
    assert 4 <= min(h, w) < 8


@pytest.mark.parametrize(("size", "near"), [((36, 48), "32x48"), ((33, 33), "32x32"), ((2, 2), "4x4")])
def test_a_size_out_of_reach_is_refused_with_sizes_that_work(size, near):
    with pytest.raises(InputError, match=rf"{size[0]}x{size[1]} pixels cannot be reached.*{near}"):
        find_base_shape(*size, start_resolution=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "loss 'hinge' is unknown; losses: ns-r1, wgan-gp, rpgan-r1-r2"),
        ({"batch": 6, "pack": 4}, "multiple of pack"),
        ({"start_resolution": 6}, "power of two"),
        ({"learning_rate": 0.0, "last_kimg": -1.0}, "learning_rate must be above 0; last_kimg must be above 0"),
        ({"label_power": -0.5}, "label_power must not be below 0"),
        ({"fade_kimg": float("nan")}, "fade_kimg=nan: expected a finite number"),
    ],
)
def test_impossible_settings_are_refused_all_at_once(changes, message):
    with pytest.raises(InputError, match=message):
        resolve_config("tiny", changes)


def test_presets():
    with pytest.raises(InputError, match="preset 'huge' is unknown; presets: tiny, default, paper"):
        resolve_config("huge", {})
    for name, preset in PRESETS.items():
        assert resolve_config(name, {}) == preset == resolve_config(name, {"batch": preset.batch})
    assert resolve_config("tiny", {"fade_kimg": 8.0, "seed": 3}) == replace(PRESETS["tiny"], fade_kimg=8.0, seed=3)


def test_rates_that_are_not_given_follow_the_batch():
    config = resolve_config("default", {"batch": 256})  # 4 times that of the preset
    assert config.learning_rate == pytest.approx(2 * PRESETS["default"].learning_rate)
    assert config.adam_beta2 == pytest.approx(PRESETS["default"].adam_beta2 ** 4)
    assert penalty_weight(config, 640.0) == pytest.approx(penalty_weight(PRESETS["default"], 640.0) / 4)
    # as many images until G_ema has forgotten half
    assert ema_decay_at(10**7, config) == pytest.approx(ema_decay_at(10**7, PRESETS["default"]) ** 4)
    given = resolve_config("default", {"batch": 256, "learning_rate": 0.005})
    assert (given.learning_rate, given.adam_beta2) == (0.005, config.adam_beta2)
    with pytest.raises(InputError, match="batch must be above 0"):
        resolve_config("tiny", {"batch": 0})
