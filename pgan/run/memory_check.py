"""Every phase tried for one step before training: memory runs out in the first minute, not on day three."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

import torch
from torch import Tensor

from pgan.steps.schedule import Growth, Schedule
from pgan.steps.state import TrainState
from pgan.steps.step import train_step
from pgan.tensor_files import first_line, from_bytes, to_bytes
from rasterize.errors import InputError

Load = Callable[[TrainState, Growth], tuple[Tensor, Tensor | None]]  # the batch at state.nimg: reals, labels
# What an allocator says, and oneDNN. The latter names no reason: others it has only for "primitive descriptor".
NO_MEMORY = re.compile(r"alloc|could not create a primitive$", re.MULTILINE)


def check_memory(state: TrainState, schedule: Schedule, load: Load) -> dict[str, int]:
    """Make one whole step in each phase ahead, then undo it, to a bit.

    A whole step has a penalty, a backward pass and both optimisers. Steps run as they are, not compiled: compiled ones
    need less for activations.

    Parameters
    ----------
    state : TrainState
        Where the run stands; afterwards it is as before.
    schedule : Schedule
        The phases of the run.
    load : callable
        Gives the batch that `state` shows next at a moment of growth: reals and labels.

    Returns
    -------
    dict
        The most memory that each phase had in use, in bytes, on CUDA; empty on a CPU.

    Raises
    ------
    InputError
        Memory does not suffice; says in which phase, and what to change.
    """
    kept, _ = to_bytes(state.state_dict())  # on the host: a copy on the device would count as use
    # Every phase that is not over, at its begin.
    begins = [ceil(phase.begin) for phase in schedule.phases() if phase.begin + phase.length > state.nimg]
    peaks = {}
    for growth in map(schedule.growth_at, begins):
        # A step that has the penalty, however rare it is: the first one.
        state.nimg = 0
        with _explain_no_memory(state, growth):
            peaks[growth.phase] = _measure_step(state, growth, load)
    # Undo all of it.
    state.load_state_dict(from_bytes(kept, device=state.device))
    if state.device.type == "cuda":
        torch.cuda.empty_cache()
        return peaks
    return {}


def _measure_step(state: TrainState, growth: Growth, load: Load) -> int:
    """Make one step, and return the most memory in use, in bytes; 0 on a CPU."""
    on_cuda = state.device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(state.device)
    reals, labels = load(state, growth)
    train_step(state, growth, reals=reals, labels=labels)
    return torch.cuda.max_memory_allocated(state.device) if on_cuda else 0


@contextmanager
def _explain_no_memory(state: TrainState, growth: Growth) -> Iterator[None]:
    """Turn a failure to allocate into an `InputError` that says at which size, and what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not NO_MEMORY.search(str(error)):
            raise
        config = state.config
        raise InputError(
            f"out of memory in the phase {growth.phase}, tried before training ({first_line(error)}); use a smaller "
            f"--batch (now {config.batch}) or --max-maps (now {config.max_maps}), or images of a lower resolution"
        ) from error
