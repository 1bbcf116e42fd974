"""A discriminator that judges fakes: its verdicts are ratios of densities. Sets that do not fit are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pgan.jury import ask_jury
from pgan.run.setup import make_network_shape
from pgan.snapshot import Snapshot, count_labels, save_snapshot
from pgan.steps.state import make_networks
from rasterize.errors import InputError
from rasterize.imageset import ImageSet, write_image_set
from tests.pgan_runs import CPU, FACTORS, SMALL, bars, make_run

COUNT = 1_600


def finished_run(folder, *, share_left: float, count=COUNT):
    """A run whose reals are left and right alike, and whose fakes are left as often as `share_left` says."""
    run, (levels, labels) = make_run(folder), bars(COUNT, 1, 8, 8)
    spec = replace(ImageSet.open(run / "images").spec, factors=FACTORS[1:])  # no label says where the bar is
    write_image_set(run / "images", spec, [levels], labels[:, 1:])
    images = ImageSet.open(run / "images")
    rows, counts = count_labels(images.labels)
    snapshot = Snapshot(
        generator=make_networks(make_network_shape(SMALL, images), seed=0)[0],
        scales=torch.ones(make_network_shape(SMALL, images).levels, 1),
        spec=json.dumps(images.spec.to_json()),
        label_rows=rows,
        label_counts=counts,
    )
    save_snapshot(run / "model", snapshot)
    left = np.random.default_rng(1).random(count) < share_left
    which = np.where(left, np.flatnonzero(labels[:, 0] == 0)[0], np.flatnonzero(labels[:, 0] == 1)[0])
    days = np.random.default_rng(2).integers(0, 3, (count, 1))
    write_image_set(run / "redrawn", images.spec, [levels[which]], days)
    return run, left


def test_verdicts_are_the_log_of_the_ratio_of_densities(tmp_path):
    run, left = finished_run(tmp_path, share_left=0.75)
    found = ask_jury(run, jury=2, kimg=16, seed=0, device=CPU)
    verdicts = np.load(run / "redrawn" / "verdicts.npy")
    assert verdicts.shape == (COUNT,) and verdicts.dtype == np.float32
    assert verdicts[left].mean() == pytest.approx(np.log(0.5 / 0.75), abs=0.15)
    assert verdicts[~left].mean() == pytest.approx(np.log(0.5 / 0.25), abs=0.15)
    assert len(found) == 2 and found[0] != found[1]
    assert np.mean([one.auc for one in found]) == pytest.approx(0.625, abs=0.08)  # of the best there can be


def test_the_same_seed_judges_the_same_alone_and_with_workers(tmp_path):
    verdicts = []
    for workers in (None, 2):
        run, _ = finished_run(tmp_path / str(workers), share_left=0.5)
        ask_jury(run, jury=2, kimg=1, seed=3, device=CPU, workers=workers)
        verdicts.append(np.load(run / "redrawn" / "verdicts.npy"))
    np.testing.assert_array_equal(*verdicts)


def test_sets_that_do_not_go_together_are_refused(tmp_path):
    run, _ = finished_run(tmp_path / "few", share_left=0.5, count=100)
    with pytest.raises(InputError, match="redrawn: 100 images; a discriminator needs at least 320"):
        ask_jury(run, jury=1, kimg=1, seed=0, device=CPU)
    levels, labels = bars(COUNT, 1, 8, 8)
    write_image_set(run / "redrawn", ImageSet.open(make_run(tmp_path / "other") / "images").spec, [levels], labels)
    with pytest.raises(InputError, match=r"labels \['side', 'day'\], but .* with \['day'\]; decode again"):
        ask_jury(run, jury=1, kimg=1, seed=0, device=CPU)
