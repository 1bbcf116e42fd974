"""One run shared by several processes (torchrun): who reads which share of a batch, and how they stay one run."""

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

PATIENCE = timedelta(seconds=45)  # a worker silent for so long is dead; set by hand, far above the time of any step


@dataclass(frozen=True, kw_only=True)
class Workers:
    """This process among the `count` that train one run together; alone, unless torchrun started more.

    Attributes
    ----------
    index : int
        Which of them this process is, 0 … count − 1; torchrun calls it RANK.
    count : int
        How many there are; torchrun calls it WORLD_SIZE.
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.index == 0

    def share_of_batch(self, config: TrainConfig) -> Tensor | None:
        """Choose the rows of the whole batch that this worker works on.

        Packs and minibatch-stddev groups are never torn. With M groups a worker takes the groups index · M / count
        and on. It orders their packs such that `minibatch_stddev` finds the very groups of a run with one process.

        Returns
        -------
        (batch / count,) int64, or None
            Rows of the batch; None for all of them.

        Raises
        ------
        InputError
            The groups cannot be shared out evenly.
        """
        if self.count == 1:
            return None
        packs, group = config.batch // config.pack, config.stddev_group
        groups = packs // group
        if packs % group or groups % self.count:
            raise InputError(
                f"--batch {config.batch} cannot be shared by {self.count} workers: each needs whole minibatch-stddev "
                f"groups of {group} x {config.pack} images; use a multiple of {group * config.pack * self.count}"
            )
        # Pack m of a group of the whole batch stands M packs after pack m - 1: keep that order among our own groups.
        own = groups // self.count
        members = torch.arange(group)[:, None] * groups + self.index * own + torch.arange(own)  # packs [group, own]
        return (members.flatten()[:, None] * config.pack + torch.arange(config.pack)).flatten()

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the workers, in one exchange."""
        if self.count == 1:
            return
        # All tensors travel as one, so that a network needs one exchange a step.
        flat = torch.cat([value.flatten() for value in values])
        with explain_lost_worker():
            dist.all_reduce(flat)
            flat /= self.count
        # Put the means back where they belong.
        sizes = [value.numel() for value in values]
        for value, mean in zip(values, flat.split(sizes), strict=True):
            value.copy_(mean.view_as(value))

    def any(self, flag: bool, *, device: torch.device) -> bool:
        """Say whether `flag` is true on any worker."""
        if self.count == 1:
            return flag
        result = torch.tensor(int(flag), device=device)
        with explain_lost_worker():
            dist.all_reduce(result, dist.ReduceOp.MAX)
            return bool(result)

    def agree(self, numbers: Tensor) -> bool:
        """Say whether these numbers are the same on all workers, to a bit."""
        if self.count == 1:
            return True
        # One exchange finds both ends: the largest number, and the negative of the smallest.
        ends = torch.stack([numbers, -numbers])
        with explain_lost_worker():
            dist.all_reduce(ends, dist.ReduceOp.MAX)
        return torch.equal(ends[0], -ends[1])

    def broadcast(self, text: str, *, device: torch.device, size: int = 256) -> str:
        """Give the text of worker 0 to every worker.

        Parameters
        ----------
        text : str
            What worker 0 has to tell, at most `size` bytes; ignored on the others.
        device : torch.device
            Where the exchange takes place: CUDA for NCCL, the CPU for gloo.
        size : int
            Bytes that are sent, the same on all workers.

        Returns
        -------
        str
            The text of worker 0.

        Raises
        ------
        InputError
            A worker has died or does not answer.
        """
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
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise InputError(
            f"another worker has died or does not answer ({reason}); see what it printed; the same torchrun command "
            "goes on from the last checkpoint"
        ) from error


@contextmanager
def join_workers(device: torch.device) -> Iterator[Workers]:
    """Connect the processes that torchrun started (WORLD_SIZE): NCCL on CUDA, else gloo; alone without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with explain_lost_worker():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Workers(index=dist.get_rank(), count=count)
    finally:
        dist.destroy_process_group()
