"""Checkpoints of a run: saved whole, loaded or refused by name, the newest few kept."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pgan.networks.generator import Generator
from pgan.run.run_record import describe_differences
from pgan.snapshot import Snapshot
from pgan.steps.state import TrainState
from pgan.tensor_files import FOREIGN, first_line, manifest_path, read_tensors, to_bytes, write_tensors
from rasterize.errors import InputError


def save_checkpoint(model: Path, state: TrainState, *, identity: Mapping[str, Any]) -> None:
    """Write everything needed to go on to checkpoints/NIMG-HASH.pt, then drop all but the newest few.

    The name depends on the content, so that no save ever overwrites a file: whenever it is killed, the checkpoints of
    before are there.

    Parameters
    ----------
    model : Path
        The model folder of the run.
    state : TrainState
        What to save.
    identity : mapping
        What must be the same for a run to go on; see `make_identity`.
    """
    data, sha256 = to_bytes(state.state_dict() | {"identity": json.dumps(identity)})
    path = model / "checkpoints" / f"{state.nimg:09d}-{sha256[:8]}.pt"
    write_tensors(path, data, sha256=sha256)
    # Drop the oldest ones, and never one that is ahead of this.
    older = [other for other in list_checkpoints(model) if other != path and _read_nimg(other) <= state.nimg]
    for surplus in older[state.config.keep_checkpoints - 1 :]:
        surplus.unlink()
        manifest_path(surplus).unlink(missing_ok=True)


def list_checkpoints(model: Path) -> list[Path]:
    """List all checkpoints that were not refused, newest first."""
    return sorted((model / "checkpoints").glob("[0-9]*-*.pt"), key=_read_nimg, reverse=True)


def _read_nimg(path: Path) -> int:
    """Return the number of images shown, from the name of a checkpoint."""
    return int(path.name.split("-")[0])


def load_newest(model: Path, state: TrainState, *, identity: Mapping[str, Any]) -> Path | None:
    """Bring `state` to where the newest valid checkpoint left it.

    Every one that cannot be used is named in a printed line with the reason, and set aside as NAME.refused.

    Parameters
    ----------
    model : Path
        The model folder of the run.
    state : TrainState
        Gets what the checkpoint holds.
    identity : mapping
        What must be the same for a run to go on; see `make_identity`.

    Returns
    -------
    Path or None
        The checkpoint; None if there are none at all.

    Raises
    ------
    InputError
        There are some, but none of use.
    """
    # Newest first: the first one of use wins.
    for path in list_checkpoints(model):
        try:
            load_checkpoint(path, state, identity=identity)
        except InputError as refusal:
            print(f"refused: {refusal}; going back to the checkpoint before", flush=True)
            path.rename(path.with_suffix(".pt.refused"))
        else:
            return path
    # Never begin anew where there was a run: somebody may still rescue it.
    refused = sorted((model / "checkpoints").glob("*.refused"))
    if refused:
        names = ", ".join(path.name for path in refused)
        raise InputError(
            f"{model}: none of its checkpoints can be used ({names}); bring back one from a copy, or remove {model} "
            "to train afresh"
        )
    return None


def load_checkpoint(path: Path, state: TrainState, *, identity: Mapping[str, Any]) -> None:
    """Bring `state` to where one checkpoint left it; a refused one may leave it half changed.

    Parameters
    ----------
    path : Path
        The checkpoint.
    state : TrainState
        Gets what it holds.
    identity : mapping
        What must be the same for a run to go on; see `make_identity`.

    Raises
    ------
    InputError
        It is damaged, foreign or another run's.
    """
    saved = read_tensors(path, device=state.device)
    try:
        differ = describe_differences(json.loads(saved["identity"]), identity)
        if differ:
            raise InputError(f"{path}: of another run: {differ}")
        state.load_state_dict(saved)
    except InputError:
        raise
    except FOREIGN as error:
        raise InputError(f"{path}: not a checkpoint of these networks ({first_line(error)})") from error


def remove_leftovers(model: Path) -> None:
    """Remove what saves that were killed left behind: temporary files, and manifests without their file."""
    for leftover in model.rglob(".*.tmp.*"):
        leftover.unlink()
    for manifest in (model / "checkpoints").glob("*.json"):
        if not manifest.with_suffix(".pt").exists() and not manifest.with_suffix(".pt.refused").exists():
            manifest.unlink()


def load_earlier(model: Path, snapshot: Snapshot, count: int) -> list[Snapshot]:
    """Make snapshots with the G_ema of each of the newest checkpoints.

    Parameters
    ----------
    model : Path
        The model folder of the run.
    snapshot : Snapshot
        The result of the run: scales, spec and labels are taken from it.
    count : int
        How many checkpoints.

    Returns
    -------
    list of Snapshot
        Newest first.

    Raises
    ------
    InputError
        There are fewer, or one is damaged or foreign.
    """
    paths = list_checkpoints(model)
    if not 0 < count <= len(paths):
        raise InputError(
            f"--checkpoints {count}: {model} has kept {len(paths)}; give a number from 1 on that it has, or train anew "
            f"with `--keep-checkpoints {max(1, count)}`"
        )
    result = []
    for path in paths[:count]:
        generator = Generator(snapshot.generator.shape)
        try:
            generator.load_state_dict(read_tensors(path, device=torch.device("cpu"))["ema"])
        except FOREIGN as error:
            raise InputError(f"{path}: not a checkpoint of these networks ({first_line(error)})") from error
        result.append(replace(snapshot, generator=generator.requires_grad_(False)))
    return result
