"""The result of a run: all that sampling needs, in one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pgan.networks.generator import Generator
from pgan.networks.shape import NetworkShape
from pgan.tensor_files import FOREIGN, first_line, read_tensors, to_bytes, write_tensors
from rasterize.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that sampling needs.

    Attributes
    ----------
    generator : Generator
        G with the weights of G_ema.
    scales : (levels, C) float32
        See `estimate_scales`.
    spec : str
        The image set's spec, JSON text.
    label_rows : (U, F) int64
        The distinct labels of the training images.
    label_counts : (U,) int64
        How many images had each.
    """

    generator: Generator
    scales: Tensor
    spec: str
    label_rows: Tensor
    label_counts: Tensor


def save_snapshot(model: Path, snapshot: Snapshot) -> None:
    """Write snapshot.pt; its presence says that training is finished."""
    data, sha256 = to_bytes(
        {
            "network": snapshot.generator.shape.to_json(),
            "generator": snapshot.generator.state_dict(),
            **{name: getattr(snapshot, name) for name in ("scales", "spec", "label_rows", "label_counts")},
        }
    )
    write_tensors(model / "snapshot.pt", data, sha256=sha256)


def load_snapshot(model: Path) -> Snapshot:
    """Read snapshot.pt, on the CPU; raises `InputError` if it is absent, damaged or foreign."""
    path = model / "snapshot.pt"
    if not path.exists():
        raise InputError(f"{path}: is not there: training has not finished; run `python -m pgan train` first")
    try:
        saved = read_tensors(path, device=torch.device("cpu"))
        generator = Generator(NetworkShape.from_json(saved["network"]))
        generator.load_state_dict(saved["generator"])
        fields = {name: saved[name] for name in ("scales", "spec", "label_rows", "label_counts")}
    except InputError as refusal:
        raise InputError(f"{refusal}; `python -m pgan train` makes it again from the last checkpoint") from refusal
    except FOREIGN as error:
        raise InputError(f"{path}: not a snapshot ({first_line(error)}); remove it and train again") from error
    return Snapshot(generator=generator.requires_grad_(False), **fields)


def count_labels(labels: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Find the distinct rows of labels [N, F] and how often each occurs: (int64 [U, F], int64 [U])."""
    rows = torch.as_tensor(labels).long()
    if rows.shape[1] == 0:  # no factors: one label for all
        return rows[:1], torch.tensor([len(rows)])
    return torch.unique(rows, dim=0, return_counts=True)
