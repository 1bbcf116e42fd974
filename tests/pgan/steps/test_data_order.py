"""The order of images: epochs, shares of labels, and training under a law over labels."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pgan.run.loop
import pgan.run.stopping
from pgan.run.loop import train
from pgan.snapshot import load_snapshot
from pgan.steps.data_order import LabelLaw, pick_batch
from rasterize.imageset import ImageSet
from tests.pgan_runs import CPU, SMALL, StopAfter, assert_same_weights, make_run, weights


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


LABELS = np.repeat([[0, 0], [0, 1], [1, 0], [1, 2]], [700, 240, 50, 10], axis=0)[
    np.random.default_rng(5).permutation(1000)
]


def shown_by(power, *, epochs, seed=1, batch=40):
    """The images shown in each of some epochs, [epochs, 1000]."""
    law = LabelLaw.of(LABELS, power=power, seed=seed)
    starts = range(0, 1000 * epochs, batch)
    return np.concatenate([pick_batch(nimg, batch=batch, count=1000, seed=seed, law=law) for nimg in starts]).reshape(
        epochs, 1000
    )


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


UNEVEN = replace(SMALL, first_kimg=0.03, fade_kimg=0.02, hold_kimg=0.0, last_kimg=0.07, label_power=0.0)  # 30 steps


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
        assert train(whole, UNEVEN, device=CPU)
    # both sides have three days: alike, and so half of two epochs each
    assert torch.cat(shown).float().mean() == pytest.approx(0.5, abs=0.05)
    assert train(plain, replace(UNEVEN, label_power=1.0), device=CPU)
    assert any(not torch.equal(w, weights(plain)[name]) for name, w in weights(whole).items())

    monkeypatch.setattr(pgan.run.stopping, "StopRequest", partial(StopAfter, 11))
    assert [train(stopped, UNEVEN, device=CPU) for _ in range(3)] == [False, False, True]
    assert_same_weights(whole, stopped)
    snapshot = load_snapshot(whole / "model")
    sides = snapshot.label_rows[:, 0]
    assert [int(snapshot.label_counts[sides == side].sum()) for side in (0, 1)] == [50, 10]
