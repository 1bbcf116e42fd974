"""What a run is: run.json, with everything needed to repeat it, and how two runs differ."""

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

import torch

from pgan.config import TrainConfig
from pgan.networks.layers import count_parameters
from pgan.steps.state import TrainState
from rasterize.errors import InputError
from rasterize.files import sha256
from rasterize.imageset import ImageSet


def make_identity(config: TrainConfig, images: ImageSet) -> dict[str, Any]:
    """Return what must be the same for a run to go on, as JSON: all settings and every byte it learns from."""
    return {
        "config": config.to_json(),
        "image_set": {
            "fingerprint": images.fingerprint,
            "shape": list(images.shape),
            "images": len(images),
            "factors": {factor.name: len(factor.values) for factor in images.factors},
            "sha256": {path.name: sha256(path) for path in images.files},
        },
    }


def make_run_record(identity: Mapping[str, Any], *, state: TrainState) -> dict[str, Any]:
    """Make the content of run.json: the identity of a run, and all else it takes to repeat it."""
    return {
        **identity,
        # What was made of the settings
        "seed": state.config.seed,
        "network": state.generator.shape.to_json(),
        "scales": state.scales.tolist(),
        "energies": state.energies.tolist(),
        "parameters": {"G": count_parameters(state.generator), "D": count_parameters(state.discriminator)},
        # What computed it
        "versions": {name: version(name) for name in ("pgan-trips", "torchvision", "numpy")}
        | {"torch": torch.__version__, "python": platform.python_version()},  # torch with its build
        "git_commit": _read_git_commit(),
        "device": _device_name(state.device),
        "workers": state.workers.count,
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _device_name(device: torch.device) -> str:
    """Return the device and, on CUDA, what it is called."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _read_git_commit() -> str | None:
    """Return the commit of the checkout this code lies in, marked if files were changed since; None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--match="]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def refuse_other_run(model: Path, identity: Mapping[str, Any]) -> bool:
    """Raise `InputError` if `model` holds a run of another identity; else say whether it holds one.

    A damaged run.json is no reason to refuse a run: checkpoints carry the identity too.
    """
    path = model / "run.json"
    if not path.exists():
        return False
    try:
        differ = describe_differences(loads(path.read_text(encoding="utf-8")), identity)
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        print(f"{path}: damaged ({error}); it is written anew", flush=True)
        return False
    if differ:
        raise InputError(
            f"{model}: holds another run: {differ}; give the same settings and images to go on with it, "
            f"train into another run folder, or remove {model}"
        )
    return True


def describe_differences(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Say in words how the identities of two runs differ; empty if they do not."""
    old, new = (
        run["config"] | {f"image set {name}": value for name, value in run["image_set"].items()}
        for run in (recorded, current)
    )
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    # Of a checksum a person learns no more than that it is another.
    return "; ".join(
        f"{name} is another"
        if name in ("image set fingerprint", "image set sha256")
        else f"{name} was {old.get(name, 'unset')}, now {new.get(name, 'unset')}"
        for name in changed
    )
