"""The sampling law over labels in training: a run under it resumes bit for bit, and shows what the law says."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import pgan.run.loop
from pgan.run.loop import train
from pgan.snapshot import load_snapshot
from rasterize.imageset import ImageSet
from tests.pgan_runs import CPU, SMALL, StopAfter, assert_same_weights, make_run, weights

SHORT = replace(SMALL, first_kimg=0.03, fade_kimg=0.02, hold_kimg=0.0, last_kimg=0.07, label_power=0.0)  # 30 steps


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_uneven_run(folder):
    """Bars, five of six on the left."""
    run = make_run(folder, count=60)
    labels = ImageSet.open(run / "images").labels.copy()
    labels[:, 0] = np.arange(60) % 6 == 0
    np.save(run / "images" / "labels.npy", labels)
    return run


def test_a_run_under_the_law_resumes_bit_for_bit_and_samples_by_counts(tmp_path, monkeypatch):
    whole, stopped, plain = (make_uneven_run(tmp_path / name) for name in ("whole", "stopped", "plain"))
    shown = []
    of_batch = pgan.run.loop.train_step

    def note(state, growth, *, reals, labels, passes):
        shown.append(labels[:, 0])
        return of_batch(state, growth, reals=reals, labels=labels, passes=passes)

    with monkeypatch.context() as patch:
        patch.setattr(pgan.run.loop, "train_step", note)
        assert train(whole, SHORT, device=CPU)
    # both sides have three days: alike, and so half of two epochs each
    assert torch.cat(shown).float().mean() == pytest.approx(0.5, abs=0.05)
    assert train(plain, replace(SHORT, label_power=1.0), device=CPU)
    assert any(not torch.equal(w, weights(plain)[name]) for name, w in weights(whole).items())

    monkeypatch.setattr(pgan.run.loop, "StopRequest", partial(StopAfter, 11))
    assert [train(stopped, SHORT, device=CPU) for _ in range(3)] == [False, False, True]
    assert_same_weights(whole, stopped)
    snapshot = load_snapshot(whole / "model")
    sides = snapshot.label_rows[:, 0]
    assert [int(snapshot.label_counts[sides == side].sum()) for side in (0, 1)] == [50, 10]
