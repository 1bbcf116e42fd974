"""Files of a model folder: what the run is (run.json), where it stands (checkpoint.pt), its result (snapshot.pt)."""

import pickle
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pgan.config import TrainConfig
from pgan.networks import Generator, NetworkShape, count_parameters
from pgan.state import TrainState
from rasterize.errors import InputError
from rasterize.files import write_atomically
from rasterize.imageset import ImageSet

CHECKPOINT_VERSION = 1
# what torch.load and load_state_dict raise on files that are cut, damaged, foreign or malicious
DAMAGE = (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, AttributeError)


def describe_images(images: ImageSet) -> dict[str, Any]:
    """What identifies an image set, as JSON."""
    return {
        "fingerprint": images.fingerprint,
        "shape": list(images.shape),
        "images": len(images),
        "factors": {factor.name: len(factor.values) for factor in images.factors},
    }


def describe_run(config: TrainConfig, images: ImageSet, *, state: TrainState) -> dict[str, Any]:
    """The content of run.json."""
    return {
        "config": config.to_json(),
        "seed": config.seed,
        "image_set": describe_images(images),
        "network": state.generator.shape.to_json(),
        "scales": state.scales.tolist(),
        "energies": state.energies.tolist(),
        "parameters": {"G": count_parameters(state.generator), "D": count_parameters(state.discriminator)},
        "versions": {name: version(name) for name in ("pgan-trips", "torch", "torchvision", "numpy")}
        | {"python": platform.python_version()},
        "git_commit": _git_commit(),
        "device": str(state.device),
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def refuse_other_run(model: Path, config: TrainConfig, *, images: ImageSet) -> None:
    """Raise `InputError` if `model` holds a run with other settings or another image set, saying what differs."""
    path = model / "run.json"
    if not path.exists():
        return
    try:
        run = loads(path.read_text(encoding="utf-8"))
        there = _flat(run["config"], "") | _flat(run["image_set"], "image set ")
    except (JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error}); remove {model} to train afresh") from error
    here = _flat(config.to_json(), "") | _flat(describe_images(images), "image set ")
    differ = [
        f"{name} was {there.get(name, 'unset')}, now {here.get(name, 'unset')}"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if differ:
        raise InputError(
            f"{model}: holds another run: {'; '.join(differ)}; give the same settings and images to go on with it, "
            f"train into another run folder, or remove {model}"
        )


def _flat(value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + name: item for name, item in value.items()}


def save_checkpoint(model: Path, state: TrainState) -> None:
    """Write everything needed to go on to checkpoint.pt; a kill leaves the old one or the new one, never half."""
    saved = state.state_dict() | {"version": CHECKPOINT_VERSION}
    with write_atomically(model / "checkpoint.pt") as temporary:
        torch.save(saved, temporary)


def load_checkpoint(model: Path, state: TrainState) -> bool:
    """Bring `state` to where checkpoint.pt left it; says whether there is one.

    Nothing in the file is executed. Raises `InputError` on a damaged or foreign one.
    """
    for leftover in model.glob(".*.tmp.*"):  # of a save that was killed
        leftover.unlink()
    path = model / "checkpoint.pt"
    if not path.exists():
        return False
    try:
        saved = torch.load(path, map_location=state.device, weights_only=True)
        _check_version(saved, path)
        state.load_state_dict(saved)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"{path}: damaged checkpoint ({_first_line(error)}); remove {model} to train afresh"
        ) from error
    return True


def _check_version(saved: Mapping[str, Any], path: Path) -> None:
    if saved["version"] != CHECKPOINT_VERSION:
        raise InputError(f"{path}: version {saved['version']}, this program reads {CHECKPOINT_VERSION}; train afresh")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that sampling needs.

    scales : float32 [levels, C], see `pgan.pyramid`. spec : the image set's spec, JSON text. label_rows : int64 [U, F],
    the distinct labels of the training images; label_counts : int64 [U], how many images had each.
    """

    generator: Generator
    scales: Tensor
    spec: str
    label_rows: Tensor
    label_counts: Tensor


def save_snapshot(model: Path, snapshot: Snapshot) -> None:
    """Write snapshot.pt; its presence says that training is finished."""
    saved = {
        "version": CHECKPOINT_VERSION,
        "network": snapshot.generator.shape.to_json(),
        "generator": snapshot.generator.state_dict(),
        **{name: getattr(snapshot, name) for name in ("scales", "spec", "label_rows", "label_counts")},
    }
    with write_atomically(model / "snapshot.pt") as temporary:
        torch.save(saved, temporary)


def load_snapshot(model: Path) -> Snapshot:
    """Read snapshot.pt, on the CPU; raises `InputError` if it is absent, damaged or foreign."""
    path = model / "snapshot.pt"
    if not path.exists():
        raise InputError(f"{path}: is not there: training has not finished; run `python -m pgan train` first")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        _check_version(saved, path)
        generator = Generator(NetworkShape.from_json(saved["network"]))
        generator.load_state_dict(saved["generator"])
        parts = {name: saved[name] for name in ("scales", "spec", "label_rows", "label_counts")}
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}: damaged snapshot ({_first_line(error)}); train again") from error
    return Snapshot(generator=generator.requires_grad_(False), **parts)


def count_labels(labels: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Distinct rows of labels [N, F] and how often each occurs: (int64 [U, F], int64 [U])."""
    rows = torch.as_tensor(labels).long()
    if rows.shape[1] == 0:  # no factors: one label for all
        return rows[:1], torch.tensor([len(rows)])
    return torch.unique(rows, dim=0, return_counts=True)
