"""The benchmark of training steps: what a step of each contestant computes, its mean time, and its row in the table."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.training import BASELINE, COMPILED, EAGER, Contestant, _make_step, format_row, time_contestants
from pgan.config import PRESETS

SMALL = replace(PRESETS["tiny"], batch=4, max_maps=16, dense_size=16, latent_size=8, stddev_group=2)


def count_flops(name, loss, *, penalised):
    step, _ = _make_step(name, replace(SMALL, loss=loss), 16, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        step(penalised)
    return counter.get_total_flops()


@pytest.mark.parametrize("loss", ["ns-r1", "rpgan-r1-r2"])
def test_ours_computes_less_than_the_baseline_and_penalties_only_when_asked(loss):
    ours, baseline = (
        {penalised: count_flops(name, loss, penalised=penalised) for penalised in (False, True)}
        for name in (EAGER, BASELINE)
    )
    assert 0 < ours[False] < ours[True] < baseline[True] and ours[False] < baseline[False] < baseline[True]
    assert ours[True] - ours[False] < baseline[True] - baseline[False]  # differentiated once, not twice


def test_ours_has_a_penalty_in_each_step_where_the_loss_is_not_lazy():
    assert count_flops(EAGER, "wgan-gp", penalised=False) == count_flops(EAGER, "wgan-gp", penalised=True)


@pytest.mark.parametrize(("interval", "mean"), [(1, 5.0), (2, 3.0), (4, 2.0)])
def test_a_mean_step_has_its_share_of_a_penalty(interval, mean):
    contestant = Contestant(process=None, requests=None, compiling_s=0.0, best_s=[1.0, 5.0])
    assert contestant.mean_seconds(interval) == mean


def test_rows_by_hand():
    times = {BASELINE: (0.02, 0.0), EAGER: (0.016, 0.0)}
    assert format_row(16, times) == "800 | 1,000 | 1.25 | – | – | –"
    assert format_row(16, times | {COMPILED: (0.01, 76.6)}) == "800 | 1,000 | 1.25 | 1,600 | 2.00 | 77"


def test_contestants_are_timed_in_their_own_processes():
    times = time_contestants(SMALL, 8, rounds=1, threads=1, compiled=False)
    assert list(times) == [BASELINE, EAGER]
    assert all(0 < seconds < float("inf") for seconds, _ in times.values()) and times[BASELINE][1] == 0
