"""Images from a run: labels in the shares of training or as requested, and several checkpoints together."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from pgan.run.checkpoint import list_checkpoints
from pgan.run.loop import train
from pgan.run.setup import make_network_shape
from pgan.sampling import draw_labels, sample, share_out
from pgan.snapshot import Snapshot, count_labels, load_snapshot, save_snapshot
from pgan.steps.state import make_networks
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.spec import Factor
from tests.pgan_runs import (
    CPU,
    ROOT,
    SMALL,
    make_run,
)

FACTORS = (
    Factor(name="user_type", values=("Customer", "Subscriber")),
    Factor(name="gender", values=("", "female", "male")),
    Factor(name="hour", values=tuple(map(str, range(24)))),
)
CUSTOMER, SUBSCRIBER, MISSING, FEMALE = 0, 1, 0, 1


def training_labels(count=20_000):
    """Customers ride later and seldom tell their gender; nobody rides before 6."""
    random = np.random.default_rng(0)
    user = (random.random(count) < 0.8).astype(int)
    gender = np.where(random.random(count) < np.where(user == CUSTOMER, 0.9, 0.05), 0, random.integers(1, 3, count))
    hour = np.clip(random.normal(np.where(user == CUSTOMER, 15, 9), 2.5), 6, 23).astype(int)
    return np.stack([user, gender, hour], axis=1)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """As after training, but for the weights."""
    images = ImageSet.open(make_run(tmp_path_factory.mktemp("run")) / "images")
    shape = replace(make_network_shape(SMALL, images), factor_sizes=tuple(len(factor.values) for factor in FACTORS))
    rows, counts = count_labels(training_labels())
    return Snapshot(
        generator=make_networks(shape, seed=0)[0],
        scales=torch.ones(shape.levels, 1),
        spec=json.dumps(replace(images.spec, factors=FACTORS).to_json()),
        label_rows=rows,
        label_counts=counts,
    )


def draw(snapshot, *asked, count=None, seed=0):
    return draw_labels(snapshot, count, rng=np.random.default_rng(seed), asked=asked)


def test_requested_counts_are_met_exactly(snapshot):
    drawn = draw(snapshot, "user_type=Customer:2000", "user_type=Subscriber:500")
    assert np.bincount(drawn[:, 0]).tolist() == [2000, 500]
    assert drawn[:500].tolist() != drawn[500:1000].tolist() and 0 < drawn[:500, 0].mean() < 1  # shuffled
    several = draw(snapshot, "user_type=Customer,hour=8:100", "hour=17,gender=male:7", "hour=9,gender=:10")
    assert len(several) == 117
    assert ((several[:, 0] == CUSTOMER) & (several[:, 2] == 8)).sum() == 100
    assert ((several[:, 1] == 2) & (several[:, 2] == 17)).sum() == 7
    assert ((several[:, 1] == MISSING) & (several[:, 2] == 9)).sum() == 10
    assert len(draw(snapshot, "gender=:10")) == 10 and (draw(snapshot, "gender=:10")[:, 1] == MISSING).all()


def test_without_a_count_all_images_have_it(snapshot):
    drawn = draw(snapshot, "user_type=Customer", count=300)
    assert len(drawn) == 300 and (drawn[:, 0] == CUSTOMER).all()
    both = draw(snapshot, "user_type=Customer", "gender=", count=50)
    assert len(both) == 50 and (both[:, :2] == [CUSTOMER, MISSING]).all()
    assert len(draw(snapshot, "gender=")) == 20_000  # as many as were trained on
    assert len(draw(snapshot, "gender=:20", count=20)) == 20


def test_what_is_left_open_keeps_its_joint_distribution(snapshot):
    labels = training_labels()
    women = labels[labels[:, 1] == FEMALE]
    as_trained = draw(snapshot, f"gender=female:{len(women)}")
    assert sorted(map(tuple, as_trained)) == sorted(map(tuple, women))
    rows, counts = np.unique(women, axis=0, return_counts=True)
    for seed in range(5):
        drawn = draw(snapshot, "gender=female:1000", "gender=male:9000", seed=seed)
        found = [(drawn == row).all(axis=1).sum() for row in rows]
        assert np.abs(np.array(found) - counts * (1000 / len(women))).max() < 1


def test_without_a_request_labels_are_drawn_as_they_always_were(snapshot):
    random = np.random.default_rng(3)
    shares = share_out(snapshot.label_counts.numpy(), 500, rng=random)
    before = random.permutation(np.repeat(snapshot.label_rows.numpy(), shares, axis=0))
    assert draw(snapshot, count=500, seed=3).tolist() == before.tolist()


@pytest.mark.parametrize(
    ("asked", "count", "message"),
    [
        (["shoe=9:10"], None, "no factor 'shoe'; factors: user_type, gender, hour"),
        (["Customer:10"], None, "expected FACTOR=VALUE.*factors: user_type, gender, hour"),
        (["user_type=Pirate:10"], None, "no value 'Pirate'; known values: Customer, Subscriber"),
        (["gender=none"], None, r"known values: '' \(missing\), female, male"),
        (["hour=3:10"], None, "no training image has it; known: hour=6; hour=7; .*; and 8 more"),
        (["user_type=Customer,hour=6,gender=male:10"], None, "known: user_type=Customer,hour=.*,gender=male; .*more"),
        (["user_type=Customer:many"], None, "count 'many' is not a whole number"),
        (["user_type=Customer:0"], None, "count '0' is not"),
        (["user_type=Customer:-3"], None, "count '-3' is not"),
        (["user_type=Customer:"], None, "count '' is not"),
        (["user_type=Customer:10"], 20, "--images 20: --label asks for 10 images"),
        (["user_type=Customer:10", "user_type=Subscriber"], 20, "user_type=Subscriber: has no count, others have"),
        (["user_type=Customer"], 0, "at least one image"),
        (["user_type=Customer", "user_type=Subscriber"], 9, "an image has one 'user_type'"),
        (
            ["user_type=Customer:5", "hour=8:5"],
            None,
            "user_type=Customer:5 and --label hour=8:5: an image can meet both",
        ),
    ],
)
def test_what_cannot_be_met_is_refused(snapshot, asked, count, message):
    with pytest.raises(InputError, match=message):
        draw(snapshot, *asked, count=count)


def test_values_may_hold_commas_and_colons(snapshot):
    values = ("08:30", "Grove St, PATH")
    factors = (Factor(name="place", values=values), FACTORS[1])
    spec = json.dumps(json.loads(snapshot.spec) | {"factors": [vars(factor) for factor in factors]})
    rows, counts = count_labels([[0, 0], [1, 2], [1, 1]])
    odd = replace(snapshot, spec=spec, label_rows=rows, label_counts=counts)
    assert draw(odd, "place=08:30", count=3)[:, 0].tolist() == [0] * 3
    assert draw(odd, "place=08:30:4", "place=Grove St, PATH,gender=male:2")[:, 0].sum() == 2


def test_images_without_factors_take_no_request(snapshot):
    bare = replace(snapshot, spec=json.dumps(json.loads(snapshot.spec) | {"factors": []}))
    with pytest.raises(InputError, match="made without factors"):
        draw(bare, "user_type=Customer:10")


def test_the_command_makes_what_is_asked_for_or_refuses_in_one_line(snapshot, tmp_path):
    save_snapshot(tmp_path / "model", snapshot)

    def sample(*labels):
        words = [sys.executable, "-m", "pgan", "sample", "--run", tmp_path, "--device", "cpu"]
        words += [word for label in labels for word in ("--label", label)]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    refused = sample("user_type=Pirate:10")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    assert refused.stderr.startswith("error: --label user_type=Pirate:10:")
    assert not (tmp_path / "fakes").exists()
    done = sample("user_type=Customer:20", "user_type=Subscriber,hour=8:5")
    assert done.returncode == 0, done.stderr
    assert "25 images" in done.stdout
    fakes = ImageSet.open(tmp_path / "fakes")
    assert len(fakes) == 25 and np.bincount(fakes.labels[:, 0]).tolist() == [20, 5]


def test_shares_are_quotas_rounded_up_or_down_and_exact_at_the_total():
    random = np.random.default_rng(0)
    counts = random.integers(0, 30, 200)
    assert share_out(counts, int(counts.sum()), rng=random).tolist() == counts.tolist()
    for total in (1, 7, 1000, 12345):
        shares, quotas = share_out(counts, total, rng=random), counts * total / counts.sum()
        assert shares.sum() == total
        assert (np.abs(shares - quotas) < 1).all()


def test_rare_labels_get_their_share_on_average():
    random = np.random.default_rng(0)
    rare = np.array([97, 1, 1, 1])
    drawn = sum(share_out(rare, 10, rng=random) for _ in range(2000))
    # each rare cell is drawn with probability 0.1: 200 of 2000, standard deviation 13.4
    assert np.abs(drawn[1:] - 200).max() < 4 * 13.4


def test_sampled_labels_follow_the_training_images_and_the_seed(tmp_path):
    run = make_run(tmp_path, count=90)
    train(run, replace(SMALL, first_kimg=0.01, fade_kimg=0.0, last_kimg=0.01), device=CPU)
    snapshot = load_snapshot(run / "model")
    real = ImageSet.open(run / "images").labels
    drawn = draw_labels(snapshot, 90, rng=np.random.default_rng(0))
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, real))
    assert drawn.tolist() != sorted(drawn.tolist())
    assert sample(run, count=None, seed=3, device=CPU) == 90
    first = ImageSet.open(run / "fakes").read(range(90))
    sample(run, count=90, seed=3, device=CPU)
    np.testing.assert_array_equal(first, ImageSet.open(run / "fakes").read(range(90)))
    sample(run, count=90, seed=4, device=CPU)
    assert not np.array_equal(first, ImageSet.open(run / "fakes").read(range(90)))


def test_checkpoints_share_the_images_and_one_alone_is_the_snapshot(tmp_path):
    run = make_run(tmp_path)
    train(run, replace(SMALL, first_kimg=0.02, fade_kimg=0.0, last_kimg=0.08, checkpoint_kimg=0.04), device=CPU)

    def images(checkpoints):
        sample(run, count=40, seed=3, device=CPU, checkpoints=checkpoints)
        return ImageSet.open(run / "fakes").read(range(40))

    alone, one, two = images(None), images(1), images(2)
    np.testing.assert_array_equal(alone, one)
    np.testing.assert_array_equal(one[:20], two[:20])
    assert not np.array_equal(one[20:], two[20:])
    kept = len(list_checkpoints(run / "model"))
    for wrong in (0, kept + 1):
        with pytest.raises(InputError, match=f"--checkpoints {wrong}: .* has kept {kept}; .*--keep-checkpoints"):
            images(wrong)
