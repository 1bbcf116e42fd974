"""Growth and rates as pure functions of the images shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgan.config import TrainConfig
from pgan.steps.schedule import Schedule, ema_decay_at, learning_rate_at, penalty_interval, penalty_weight

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
