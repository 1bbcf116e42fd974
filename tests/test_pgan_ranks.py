"""Several ranks are one run: shares of a batch, training that follows the one-process run, deaths, and resuming."""

import pytest
import torch

from pgan.config import TrainConfig
from pgan.networks import minibatch_stddev
from pgan.ranks import Ranks
from rasterize.errors import InputError


@pytest.mark.parametrize(
    ("batch", "pack", "group", "count"), [(16, 1, 4, 2), (16, 1, 4, 4), (32, 2, 4, 2), (24, 3, 2, 4), (8, 1, 1, 8)]
)
def test_ranks_share_out_a_batch_in_whole_packs_and_the_same_stddev_groups(batch, pack, group, count):
    config = TrainConfig(batch=batch, pack=pack, stddev_group=group)
    parts = [Ranks(rank=rank, count=count).part_of_batch(config) for rank in range(count)]
    assert sorted(torch.cat(parts).tolist()) == list(range(batch))
    images = torch.randn(batch, 2, 3, 3, generator=torch.Generator().manual_seed(0))

    def judged(rows: torch.Tensor) -> torch.Tensor:
        return minibatch_stddev(rows.reshape(len(rows) // pack, -1, 3, 3), group)  # packed as D does

    whole = judged(images)
    for part in parts:
        packs = part[::pack] // pack
        torch.testing.assert_close(judged(images[part]), whole[packs], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "pack", "group", "count"), [(12, 1, 4, 2), (16, 1, 4, 3), (16, 4, 4, 2), (6, 1, 4, 2)]
)
def test_a_batch_that_would_tear_a_group_is_refused(batch, pack, group, count):
    config = TrainConfig(batch=batch, pack=pack, stddev_group=group)
    with pytest.raises(InputError, match=rf"--batch {batch} .* {count} ranks: .*a multiple of {group * pack * count}"):
        Ranks(rank=0, count=count).part_of_batch(config)
    assert Ranks().part_of_batch(config) is None
