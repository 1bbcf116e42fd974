"""Work on parts, one after the other in this process, or spread over processes and machines through Dask."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rasterize.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

Part = TypeVar("Part")
Result = TypeVar("Result")


def run_parts(
    work: Callable[[Part], Result], parts: Sequence[Part], *, workers: int | None = None, scheduler: str | None = None
) -> list[Result]:
    """Do the work of every part, in this process or in others.

    Parameters
    ----------
    work : callable
        Takes a part. It can be pickled, as a function of a module or a `functools.partial` of one can. Whatever it
        writes must be whole or absent. It should return at once where its part is there already. For the part of a
        lost worker is given to another. Even what the lost one had done may be asked for again.
    parts : sequence
        What to work on, one at a time.
    workers : int, optional
        How many processes of this machine to use; None for this one alone.
    scheduler : str, optional
        Address of a Dask scheduler, such as tcp://10.0.0.1:8786. Its workers have this package and see the same files.

    Returns
    -------
    list
        What `work` returned, in the order of the parts.

    Raises
    ------
    InputError
        The options contradict each other; no scheduler answers; workers die again and again. Also what `work` raises,
        of the first such part.
    """
    if workers is None and scheduler is None:
        return [work(part) for part in parts]
    if workers is not None and scheduler is not None:
        raise InputError("--workers and --scheduler: give one of them; a scheduler has workers of its own")
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be 1 or more, not {workers}")
    with _open_client(workers, scheduler) as client:
        return _gather(client, work, parts)


@contextmanager
def _open_client(workers: int | None, scheduler: str | None) -> Iterator["Client"]:
    """Yield a client of the scheduler, or of a cluster of so many processes on this machine."""
    from distributed import Client, LocalCluster

    # A cluster of our own, which ends with us.
    if scheduler is None:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return

    # Somebody's cluster, which goes on.
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {scheduler}: no Dask scheduler answers there ({error}); start one with `dask scheduler`"
        ) from None
    with client:
        yield client


def _gather(client: "Client", work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Return the results of a cluster's work, in the order of the parts."""
    from distributed.scheduler import KilledWorker

    futures = client.map(work, parts, pure=False)
    try:
        return [future.result() for future in futures]
    except KilledWorker as error:
        raise InputError(
            f"workers died again and again on one part ({str(error).splitlines()[0]}); mostly that is for want of "
            "memory: use fewer workers, or none"
        ) from None
