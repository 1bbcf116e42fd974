"""Collapse: the spread of fakes beside that of reals, on strokes."""

import json

import torch

from pgan.networks.shape import NetworkShape
from pgan.run.progress import Reporter
from pgan.steps.diversity import COLLAPSED, measure_spreads
from pgan.steps.schedule import Schedule
from pgan.steps.state import TrainState
from pgan.steps.step import StepResult
from tests.pgan_runs import CPU, SMALL


def strokes(count: int, *, kinds: int, pixels: int = 32, seed: int = 0) -> torch.Tensor:
    """Images [N, 1, pixels, pixels] of one bright row or column, of so many kinds in equal numbers."""
    random = torch.Generator().manual_seed(seed)
    places = torch.randperm(2 * pixels, generator=random)[:kinds].repeat(count // kinds + 1)[:count]
    images = torch.zeros(count, 1, pixels, pixels)
    for image, place in zip(images, places.tolist(), strict=True):
        if place < pixels:
            image[0, place] = 5
        else:
            image[0, :, place - pixels] = 5
    return images


def share(reals: torch.Tensor, fakes: torch.Tensor) -> float:
    real, fake = measure_spreads(reals, fakes)
    return float(fake / real)


def test_as_many_kinds_of_strokes_spread_alike_at_every_size():
    for pixels in (4, 8, 32, 48):
        kinds = min(2 * pixels, 16)
        reals, fakes = (strokes(16, kinds=kinds, pixels=pixels, seed=seed) for seed in (1, 2))
        assert 0.8 < share(reals, fakes) < 1.25


def test_collapse_falls_below_the_share_and_no_outlier_or_speckle_hides_it():
    reals, fakes = strokes(16, kinds=16), strokes(16, kinds=1)
    random = torch.Generator().manual_seed(0)
    assert share(reals, fakes) < 0.01
    assert share(reals, strokes(16, kinds=2, seed=3)) < 0.6  # half the pairs are alike
    fakes[0] *= 1e6  # 15 of 120 pairs, at most twice the mean each
    assert share(reals, fakes) < COLLAPSED
    speckled = strokes(16, kinds=1) + 0.7 * torch.randn(16, 1, 32, 32, generator=random)
    unpooled = (speckled[0] - speckled[1]).norm() / (reals[0] - reals[1]).norm()
    assert share(reals, speckled) < COLLAPSED < unpooled


def test_one_image_and_broken_images_give_no_number_but_no_error():
    assert torch.stack(measure_spreads(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4))).isnan().all()
    assert measure_spreads(strokes(4, kinds=4), torch.full((4, 1, 32, 32), float("nan")))[1].isnan()


def test_a_fall_below_the_share_is_warned_of_once_each_time_but_not_while_a_run_begins(tmp_path, capsys):
    schedule = Schedule.of(SMALL, height=8, width=8)  # 800 images
    state = TrainState(SMALL, NetworkShape.of(SMALL, (1, 8, 8), factor_sizes=()), device=CPU)
    one = torch.ones(())
    numbers = {"d_loss": one, "g_loss": one, "real_logit": one, "fake_logit": one, "real_spread": 2 * one}
    warned, shares = [], {40: 0.3, 100: 0.9, 200: 0.4, 300: 0.2, 400: 0.8, 500: 0.1}
    with Reporter(tmp_path, schedule, nimg=0) as reporter:
        for state.nimg, diversity in shares.items():
            for wobble in (-0.1, 0.1):
                reporter.add(StepResult(**numbers, fake_spread=2 * (diversity + wobble) * one))
            reporter.report(schedule.growth_at(state.nimg), state)
            if "warning: at" in capsys.readouterr().out:
                warned.append(state.nimg)
    assert warned == [200, 500]
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert {line["nimg"]: round(line["diversity"], 3) for line in lines} == shares
