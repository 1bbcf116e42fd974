"""What changes while a run trains: weights from a seed, and what Adam remembers."""

import torch

from pgan.networks.shape import NetworkShape
from pgan.run.setup import make_network_shape
from pgan.steps.schedule import Growth
from pgan.steps.state import TrainState, make_networks
from pgan.steps.step import train_step
from rasterize.imageset import ImageSet
from tests.pgan_runs import CPU, SMALL, make_run


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_stream_alone():
    shape = NetworkShape.of(SMALL, (1, 8, 8), factor_sizes=())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = make_networks(shape, seed=3)[0], make_networks(shape, seed=3)[0]
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_adam_forgets_at_a_new_level_only(tmp_path):
    images = ImageSet.open(make_run(tmp_path) / "images")
    state = TrainState(SMALL, make_network_shape(SMALL, images), device=CPU)
    labels = torch.zeros(4, 2, dtype=torch.int64)
    growths = [
        Growth(level=0, height=4, width=4, alpha=1.0, fading=False, last=False, progress=0.5),
        Growth(level=1, height=8, width=8, alpha=0.1, fading=True, last=False, progress=0.1),
        Growth(level=1, height=8, width=8, alpha=1.0, fading=False, last=True, progress=0.0),
    ]
    steps = []
    for growth in growths:
        for _ in range(2):
            train_step(state, growth, reals=torch.zeros(4, 1, growth.height, growth.width), labels=labels)
        steps.append(int(state.g_adam.state[state.generator.dense.weight]["step"]))
    assert steps == [2, 2, 4]
