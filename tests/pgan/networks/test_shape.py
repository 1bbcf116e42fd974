"""Sizes of the networks: feature maps by the published rule, and back from JSON."""

from pgan.config import TrainConfig
from pgan.networks.shape import NetworkShape


def test_maps_follow_the_published_rule():
    shape = NetworkShape.of(TrainConfig(base_maps=8192, max_maps=512), (3, 128, 128), factor_sizes=())
    assert shape.maps == (512, 512, 512, 512, 256, 128)  # 4 … 128 px: min(8192 / 2^stage, 512), stage = log2(px) − 1
    assert NetworkShape.from_json(shape.to_json()) == shape
