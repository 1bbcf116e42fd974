"""Growth, rates and data order as pure functions of the images shown; the sizes that doubling reaches."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgan.config import PRESETS, TrainConfig, find_base_shape, resolve_config
from pgan.steps.data_order import LabelLaw, pick_batch
from pgan.steps.schedule import Schedule, ema_decay_at, learning_rate_at, penalty_interval, penalty_weight
from rasterize.errors import InputError

KIMG = st.floats(0, 5).map(lambda kimg: round(kimg, 3))
CONFIGS = st.builds(
    TrainConfig, first_kimg=KIMG, fade_kimg=KIMG, hold_kimg=KIMG, last_kimg=st.floats(0.01, 5), batch=st.just(4)
)


@given(CONFIGS, st.integers(0, 4), st.data())
def test_a_run_grows_from_the_base_to_full_size_and_never_back(config, doublings, data):
    size = 4 * 2**doublings
    schedule = Schedule.of(config, height=size, width=size)
    moments = sorted(data.draw(st.lists(st.integers(0, schedule.total), min_size=2, max_size=20)))
    growths = [schedule.growth_at(nimg) for nimg in moments]
    for before, after in zip(growths, growths[1:], strict=False):
        assert before.level <= after.level
        if before.level == after.level:
            assert before.alpha <= after.alpha
    assert all(0 <= growth.alpha <= 1 and growth.height == 4 * 2**growth.level for growth in growths)
    assert all(growth.alpha == 1 or growth.fading for growth in growths)
    end = schedule.growth_at(schedule.total)
    assert (end.height, end.alpha, end.last, end.progress) == (size, 1.0, True, 1.0)


def test_a_phase_whose_length_rounds_ends_whole():
    config = TrainConfig(first_kimg=0, fade_kimg=1, hold_kimg=0, last_kimg=0.010000000000000002)
    schedule = Schedule.of(config, height=8, width=8)
    assert schedule.growth_at(schedule.total).progress == 1.0


def test_phases_of_a_run_from_4_to_16_px():
    schedule = Schedule.of(TrainConfig(first_kimg=1, fade_kimg=2, hold_kimg=3, last_kimg=4), height=16, width=16)
    assert schedule.phases() == [
        (0, False, 0, 1000),
        (1, True, 1000, 2000),
        (1, False, 3000, 3000),
        (2, True, 6000, 2000),
        (2, False, 8000, 4000),
    ]
    assert schedule.total == 12000
    growth = schedule.growth_at(1500)
    assert (growth.height, growth.alpha, growth.phase) == (8, 0.25, "fade-in 8x8")
    assert schedule.growth_at(1000).alpha == 0
    assert schedule.growth_at(3000).phase == "hold 8x8"


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


@given(CONFIGS)
def test_the_learning_rate_falls_in_the_last_phase_only(config):
    schedule = Schedule.of(config, height=8, width=8)
    _, _, begin, _ = schedule.phases()[-1]
    for nimg in range(0, int(begin), max(1, int(begin) // 7)):
        assert learning_rate_at(schedule.growth_at(nimg), config) == config.learning_rate
    end = learning_rate_at(schedule.growth_at(schedule.total), config)
    assert end == pytest.approx(config.learning_rate * config.final_rate_share)


def test_gamma_follows_the_energy_and_the_penalty_interval_the_resolution():
    config = TrainConfig(gamma_scale=0.1, batch=32, penalty_steps_to_32px=1, penalty_steps_above=16)
    schedule = Schedule.of(config, height=256, width=256)
    at = {growth.height: growth for growth in map(schedule.growth_at, range(0, schedule.total, 300_000))}
    assert penalty_weight(config, 640.0) == pytest.approx(2.0)
    assert [penalty_interval(at[px], config) for px in (4, 32, 64, 256)] == [1, 1, 16, 16]


def test_g_ema_has_the_half_life_it_says_after_a_ramp():
    config = TrainConfig(batch=100, ema_half_life_kimg=10, ema_ramp_share=0.05)
    assert ema_decay_at(10**6, config) ** 100 == pytest.approx(0.5)  # 100 steps of 100 images = 10 kimg
    assert ema_decay_at(20_000, config) ** 10 == pytest.approx(0.5)  # 5 % of 20 kimg = 1 kimg
    assert ema_decay_at(0, config) == 0


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 3))
def test_each_epoch_shows_each_image_once(count, batch, seed):
    shown = [pick_batch(nimg, batch=batch, count=count, seed=seed) for nimg in range(0, 2 * count * batch, batch)]
    epochs = np.concatenate(shown).reshape(-1, count)
    assert (np.sort(epochs, axis=1) == np.arange(count)).all()


def test_the_data_order_depends_on_seed_and_epoch_alone():
    def order(nimg, seed):
        return pick_batch(nimg, batch=50, count=50, seed=seed).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(50, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "loss 'hinge' is unknown; losses: ns-r1, wgan-gp, rpgan-r1-r2"),
        ({"batch": 6, "pack": 4}, "multiple of pack"),
        ({"start_resolution": 6}, "power of two"),
        ({"learning_rate": 0.0, "last_kimg": -1.0}, "learning_rate must be above 0; last_kimg must be above 0"),
        ({"label_power": -0.5}, "label_power must not be below 0"),
        ({"fade_kimg": float("nan")}, "fade_kimg must not be below 0"),
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


LABELS = np.repeat([[0, 0], [0, 1], [1, 0], [1, 2]], [700, 240, 50, 10], axis=0)[
    np.random.default_rng(5).permutation(1000)
]


def shown_by(power, *, epochs, seed=1, batch=40):
    """The images shown in each of some epochs, [epochs, 1000]."""
    law = LabelLaw.of(LABELS, power=power, seed=seed)
    starts = range(0, 1000 * epochs, batch)
    return np.concatenate(
        [pick_batch(nimg, batch=batch, count=1000, seed=seed, law=law) for nimg in starts]
    ).reshape(epochs, 1000)


@pytest.mark.parametrize("power", [0.0, 0.5, 2.0, 400.0])
def test_labels_are_shown_in_proportion_to_a_power_of_their_counts(power):
    rows, combination, counts = np.unique(LABELS, axis=0, return_inverse=True, return_counts=True)
    shares = (counts / counts.max()) ** power
    quotas = 1000 * shares / shares.sum()
    shown = shown_by(power, epochs=60)
    for epoch in shown:
        assert np.abs(np.bincount(combination[epoch], minlength=len(rows)) - quotas).max() < 1
    # images of a combination alike: in an epoch within one of their quota, over many as often as one another
    times = np.array([np.bincount(epoch, minlength=1000) for epoch in shown])
    quota = (quotas / counts)[combination]
    assert np.abs(times - quota).max() < 1
    deviation = np.sqrt(60 * (quota % 1) * (1 - quota % 1))
    assert (np.abs(times.sum(0) - 60 * quota) <= 4.5 * deviation + 1e-6).all()


def test_label_power_1_is_the_data_order_that_was():
    assert LabelLaw.of(LABELS, power=1.0, seed=1) is None
    assert LabelLaw.of(np.zeros((9, 0)), power=0.0, seed=1) is None  # no labels, no law
    # first images of two epochs as of before there was a law
    assert pick_batch(0, batch=6, count=50, seed=1).tolist() == [15, 25, 37, 23, 30, 6]
    assert pick_batch(47, batch=6, count=50, seed=1).tolist() == [18, 13, 38, 35, 30, 18]


def test_a_labelled_order_is_a_function_of_the_images_shown():
    whole = shown_by(0.3, epochs=3, batch=1000).ravel()
    assert whole.tolist() == shown_by(0.3, epochs=3, batch=40).ravel().tolist()
    law = LabelLaw.of(LABELS, power=0.3, seed=1)  # made anew, as by a resumed run
    across = pick_batch(960, batch=64, count=1000, seed=1, law=law)
    assert across.tolist() == whole[960:1024].tolist()
    assert whole.tolist() != shown_by(0.3, epochs=3, seed=2).ravel().tolist()
    assert across[36:46].tolist() == [991, 254, 321, 630, 852, 955, 922, 797, 833, 403]  # whatever process draws it
