"""One run shared by several processes (torchrun): who reads which part of a batch, and how they stay one run."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from pgan.config import TrainConfig
from rasterize.errors import InputError

PATIENCE = timedelta(seconds=45)  # a rank that has not answered for so long is dead


@dataclass(frozen=True, kw_only=True)
class Workers:
    """This process among the `count` that train one run together; alone, unless torchrun started more."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def share_of_batch(self, config: TrainConfig) -> Tensor | None:
        """Rows of the whole batch that this rank works on, int64 [batch / count]; None: all of them.

        Packs and minibatch-stddev groups are never torn: with M groups a rank takes the groups rank · M / count and on,
        and orders their packs such that `minibatch_stddev` finds the very groups of a run with one process. Raises
        `InputError` where the groups cannot be shared out evenly.
        """
        if self.count == 1:
            return None
        packs, group = config.batch // config.pack, config.stddev_group
        groups = packs // group
        if packs % group or groups % self.count:
            raise InputError(
                f"--batch {config.batch} cannot be shared by {self.count} ranks: each needs whole minibatch-stddev "
                f"groups of {group} x {config.pack} images; use a multiple of {group * config.pack * self.count}"
            )
        mine = groups // self.count
        members = torch.arange(group)[:, None] * groups + self.rank * mine + torch.arange(mine)  # packs [group, mine]
        return (members.flatten()[:, None] * config.pack + torch.arange(config.pack)).flatten()

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the ranks, in one exchange."""
        if self.count == 1:
            return
        flat = torch.cat([value.flatten() for value in values])
        with explain_lost_worker():
            dist.all_reduce(flat)
            flat /= self.count
        sizes = [value.numel() for value in values]
        for value, mean in zip(values, flat.split(sizes), strict=True):
            value.copy_(mean.view_as(value))

    def any(self, here: bool, *, device: torch.device) -> bool:
        """Whether it is true on any rank."""
        if self.count == 1:
            return here
        flag = torch.tensor(int(here), device=device)
        with explain_lost_worker():
            dist.all_reduce(flag, dist.ReduceOp.MAX)
            return bool(flag)

    def agree(self, numbers: Tensor) -> bool:
        """Whether these numbers are the same on all ranks, to a bit."""
        if self.count == 1:
            return True
        ends = torch.stack([numbers, -numbers])
        with explain_lost_worker():
            dist.all_reduce(ends, dist.ReduceOp.MAX)
        return torch.equal(ends[0], -ends[1])

    def from_first(self, text: str, *, device: torch.device, size: int = 256) -> str:
        """The text that rank 0 gives, on every rank; at most `size` bytes."""
        if self.count == 1:
            return text
        letters = torch.zeros(size, dtype=torch.uint8, device=device)
        if self.first:
            data = text.encode()
            letters[: len(data)] = torch.tensor(list(data), dtype=torch.uint8)
        with explain_lost_worker():
            dist.broadcast(letters, 0)
            return bytes(letters.tolist()).rstrip(b"\0").decode()


@contextmanager
def explain_lost_worker() -> Iterator[None]:
    """Turn a failed exchange into an `InputError` that says how to go on."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(
            f"another rank has died or does not answer ({(str(error).splitlines() or ['no reason given'])[0][:200]}); "
            "see what it printed; the same torchrun command goes on from the last checkpoint"
        ) from error


@contextmanager
def join_workers(device: torch.device) -> Iterator[Workers]:
    """The ranks that torchrun started (WORLD_SIZE), connected: NCCL on CUDA, else gloo; alone without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with explain_lost_worker():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Workers(rank=dist.get_rank(), count=count)
    finally:
        dist.destroy_process_group()
