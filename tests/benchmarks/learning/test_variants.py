"""Variants: the speed of their steps, and the length of a run that fills its time."""

from itertools import count

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.fidelity.sets import SETS, WINTER
from benchmarks.fidelity.split import check_same_split, split_trips
from benchmarks.learning.variants import (
    Speed,
    Terms,
    Variant,
    _merge_settings,
    _time_phases,
    choose_last_kimg,
    draw_real_trips,
    measure_speeds,
    run_tasks,
)
from pgan.config import resolve_config
from rasterize.errors import InputError
from rasterize.simulated_city import write_city

SMALL = {"max_maps": 16, "latent_size": 16, "dense_size": 64, "first_kimg": 0.4, "fade_kimg": 0.1}
SLOW_FADE = {"max_maps": 16, "first_kimg": 0.2, "fade_kimg": 4.0, "penalty_steps_to_32px": 8}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of a seed, with the images that variants train on."""
    folder = tmp_path_factory.mktemp("variants")
    write_city(folder / "city.csv", trips=2400, stations=10)
    draw_real_trips([folder / "city.csv"], folder / "seed-0" / "real", seed=0)
    return folder / "seed-0"


def test_the_last_phase_fills_the_time_that_is_left():
    assert choose_last_kimg(10, Speed(images_per_s=250, seconds_before=100), name="ns-r1") == 125
    with pytest.raises(InputError, match="--minutes 1: .* take 1.5 minutes with ns-r1; give more, or shorten them"):
        choose_last_kimg(1, Speed(images_per_s=250, seconds_before=90), name="ns-r1")


def test_speeds_are_measured_once_per_variant(home):
    lazy, eager = Variant.from_loss("ns-r1", 1), Variant.from_loss("wgan-gp", 1)
    terms = Terms(preset="tiny", settings=SMALL, minutes=1, trial=0.05, samples=1)
    waiting, homes = [(lazy, 0), (eager, 0), (lazy, 1)], {0: home}
    speeds = measure_speeds(waiting, homes, terms, jobs=1)
    assert list(speeds) == [lazy, eager]
    assert all(speed.images_per_s > 0 and speed.seconds_before > 0 for speed in speeds.values())
    assert measure_speeds([], homes, terms, jobs=1) == {}


def test_speeds_are_those_of_real_steps_in_each_phase(home):
    """By a clock that counts floating-point operations."""
    lazy, eager = Variant.from_loss("ns-r1", 1), Variant.from_loss("wgan-gp", 1)
    terms = Terms(preset="tiny", settings=SLOW_FADE, minutes=1, trial=0.3, samples=1)
    settings = [_merge_settings(variant, terms, seed=0) for variant in (lazy, eager)]
    configs = [resolve_config(terms.preset, changes) for changes in settings]
    with FlopCounterMode(display=False) as counter:
        rates, before = _time_phases(lazy.real_folder(home), configs, 1.0, clock=counter.get_total_flops)
    assert rates[1] < rates[0]  # WGAN-GP has a penalty in every step
    assert all(0.4 < seconds * rate / 4200 < 2.5 for rate, seconds in zip(rates, before, strict=True))


def test_each_phase_is_tried_in_turns_of_its_penalty_interval(home):
    """Whenever the clock is read a second has passed, so that a turn of steps takes one."""
    terms = Terms(preset="tiny", settings=SLOW_FADE, minutes=1, trial=0.3, samples=1)
    variant = Variant.from_loss("ns-r1", 1)
    config = resolve_config(terms.preset, _merge_settings(variant, terms, seed=0))
    rates, before = _time_phases(variant.real_folder(home), [config, config], 2.5, clock=count(0.0).__next__)
    assert rates.tolist() == [16 * 8] * 2
    assert before.tolist() == [200 / (16 * 8) + 4000 / (16 * 8)] * 2


@pytest.mark.parametrize("text", ["ns-r1", "ns-r1:", "hinge:1", "ns-r1:x"])
def test_variants_that_cannot_be(text):
    assert Variant.parse("wgan-gp:2") == Variant.from_loss("wgan-gp", 2)
    with pytest.raises(InputError, match=f"--variant {text}: expected LOSS:PACK"):
        Variant.parse(text)


def test_after_a_failure_nothing_new_is_begun():
    done = []

    def fail():
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        run_tasks([fail, *(lambda k=k: done.append(k) for k in range(50))], 1)
    assert len(done) < 50


def test_thirds_are_those_of_the_fidelity_benchmark(shared_data, tmp_path):
    files = SETS[WINTER].files(shared_data)
    draw_real_trips(files, tmp_path / "real", seed=3)
    check_same_split(split_trips(files, tmp_path / "split", 3), tmp_path / "real", files, 3)


def test_no_trips_at_all_are_refused():
    with pytest.raises(InputError, match="--samples 0: each row needs trips"):
        Terms(settings={}, samples=0)
