"""Images from a trained run: latents and labels through G_ema, back in levels, streamed into an image set."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from json import loads
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pgan.networks.pyramid import to_levels
from pgan.run.checkpoint import load_earlier
from pgan.snapshot import Snapshot, load_snapshot
from rasterize.errors import InputError
from rasterize.imageset import write_image_set
from rasterize.spec import Factor, Spec

BATCH = 64
MOST_NAMED = 10  # combinations of labels in a message


def share_out(counts: ArrayLike, total: int, *, rng: np.random.Generator) -> NDArray:
    """Split `total` over cells in proportion to `counts`: each gets its quota rounded up or down, int64 like `counts`.

    Systematic sampling (one random start, equal steps along the cumulated counts): the expectation of every cell is its
    quota, also where quotas are far below one, where the largest-remainder rule would starve rare cells. If `total`
    is the sum of the counts, they are met exactly.
    """
    counts = np.asarray(counts, np.int64)
    edges = np.concatenate([[0], np.cumsum(counts)])  # exact: integers
    # picks lie at (k + start) · sum / total, k = 0 … total − 1; below an edge e are ceil(e · total / sum − start)
    start = rng.random()
    below = np.ceil(edges * (total / edges[-1]) - start).astype(np.int64)
    below[0], below[-1] = 0, total
    return np.diff(below)


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """Images that somebody asks for: those whose labels meet every condition; `count` None leaves open how many."""

    text: str
    conditions: tuple[tuple[int, int], ...]  # a factor and its value, as indices
    count: int | None

    @classmethod
    def read(cls, text: str, factors: Sequence[Factor]) -> Self:
        """Read FACTOR=VALUE[,FACTOR=VALUE …][:COUNT]; raises `InputError` on what is unknown or malformed.

        The empty value is the missing one. A value may hold commas, and colons if it is a known one.
        """
        conditions, names, count = [], [factor.name for factor in factors], None
        *others, last = re.split(r",(?=[^,=]+=)", text)
        for part in (*others, last):
            name, equals, value = part.partition("=")
            name = name.strip()
            if not equals:
                raise InputError(f"--label {text}: expected FACTOR=VALUE[,FACTOR=VALUE][:COUNT]; {_known(names)}")
            if name not in names:
                raise InputError(f"--label {text}: images have no factor '{name}'; {_known(names)}")
            column = names.index(name)
            if any(column == other for other, _ in conditions):
                raise InputError(f"--label {text}: an image has one '{name}'; for several give each a :COUNT")
            values = factors[column].values
            if part is last and value not in values and ":" in value:
                value, _, number = value.rpartition(":")
                count = _read_count(number, text)
            if value not in values:
                known = ", ".join(item or "'' (missing)" for item in values)
                raise InputError(f"--label {text}: '{name}' has no value '{value}'; known values: {known}")
            conditions.append((column, values.index(value)))
        return cls(text=text, conditions=tuple(conditions), count=count)

    def cells(self, rows: NDArray, factors: Sequence[Factor]) -> NDArray:
        """Which of the distinct labels of training meet it; raises `InputError` if none does."""
        columns, wanted = zip(*self.conditions, strict=True)
        met = rows[:, columns] == wanted
        cells = np.flatnonzero(met.all(axis=1))
        if len(cells):
            return cells
        nearest = rows[np.argsort(-met.sum(axis=1), kind="stable")][:, columns]
        seen = list(dict.fromkeys(map(tuple, nearest.tolist())))
        texts = [
            ",".join(f"{factors[k].name}={factors[k].values[v]}" for k, v in zip(columns, values, strict=True))
            for values in seen[:MOST_NAMED]
        ]
        more = f"; and {len(seen) - MOST_NAMED} more" if len(seen) > MOST_NAMED else ""
        raise InputError(f"--label {self.text}: no training image has it; known: {'; '.join(texts)}{more}")


def _known(names: Sequence[str]) -> str:
    return f"factors: {', '.join(names)}" if names else "these images were made without factors"


def _read_count(number: str, text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", number):
        raise InputError(f"--label {text}: the count '{number}' is not a whole number from 1 to 999999999")
    return int(number)


def draw_labels(
    snapshot: Snapshot, count: int | None, *, rng: np.random.Generator, asked: Sequence[str] = ()
) -> NDArray:
    """Labels for images in the proportions of the training images, shuffled: int64 [N, F].

    Parameters
    ----------
    count : how many; None for as many as `asked` says, or as were trained on.
    asked : see `LabelRequest.read`. If they have counts, each is met by exactly as many images; if none has, all images
        meet all of them. The other factors keep the joint distribution of the training images that meet the request.
    """
    rows, counts = snapshot.label_rows.numpy(), snapshot.label_counts.numpy()
    shares = np.zeros_like(counts)
    for cells, number in _groups(snapshot, count, asked):
        shares[cells] += share_out(counts[cells], number, rng=rng)
    return rng.permutation(np.repeat(rows, shares, axis=0))


def _groups(snapshot: Snapshot, count: int | None, asked: Sequence[str]) -> list[tuple[NDArray, int]]:
    """Which distinct labels share how many images; groups do not overlap."""
    rows, trained_on = snapshot.label_rows.numpy(), int(snapshot.label_counts.sum())
    factors = Spec.from_json(loads(snapshot.spec), "snapshot.pt").factors
    requests = [LabelRequest.read(text, factors) for text in asked]
    counted = [request for request in requests if request.count is not None]
    if not counted:
        number = trained_on if count is None else count
        if number < 1:
            raise InputError(f"--images {number}: at least one image is needed")
        cells = LabelRequest.read(",".join(asked), factors).cells(rows, factors) if asked else np.arange(len(rows))
        return [(cells, number)]
    if len(counted) < len(requests):
        open_one = next(request.text for request in requests if request.count is None)
        raise InputError(f"--label {open_one}: has no count, others have; give each a count (…:COUNT) or none")
    total = sum(request.count for request in counted)
    if count not in (None, total):
        raise InputError(f"--images {count}: --label asks for {total} images in all; leave --images out")
    groups = [(request.cells(rows, factors), request.count) for request in counted]
    for (first, (cells, _)), (second, (others, _)) in combinations(zip(counted, groups, strict=True), 2):
        if len(np.intersect1d(cells, others)):
            raise InputError(
                f"--label {first.text} and --label {second.text}: an image can meet both, so that neither count would "
                "hold; add conditions that tell them apart"
            )
    return groups


def generate(snapshot: Snapshot, labels: NDArray, *, seed: int, device: torch.device) -> Iterator[NDArray]:
    """Levels of one image per row of `labels`, in batches [n, C, H, W] float32."""
    generator, scales = snapshot.generator.to(device), snapshot.scales[-1].to(device)
    random = torch.Generator().manual_seed(seed)
    for start in range(0, len(labels), BATCH):
        wanted = torch.from_numpy(labels[start : start + BATCH])
        z = torch.randn((len(wanted), generator.shape.latent_size), generator=random)
        with torch.no_grad():
            images = generator(z.to(device), wanted.to(device), generator.shape.levels - 1)
        yield to_levels(images, scales).cpu().numpy()


def sample(
    run_folder: Path,
    *,
    count: int | None,
    seed: int,
    device: torch.device,
    labels: Sequence[str] = (),
    checkpoints: int | None = None,
) -> int:
    """Write RUN/fakes from RUN/model/snapshot.pt, with labels as in `draw_labels`; returns how many images.

    With `checkpoints`, each of so many of the newest makes as many of them: what one generator misses another may not.
    """
    snapshot = load_snapshot(run_folder / "model")
    drawn = draw_labels(snapshot, count, rng=np.random.default_rng(seed), asked=labels)
    spec = Spec.from_json(loads(snapshot.spec), f"{run_folder}/model/snapshot.pt")
    makers = [snapshot] if checkpoints is None else load_earlier(run_folder / "model", snapshot, checkpoints)
    shares = np.array_split(drawn, len(makers))
    images = chain.from_iterable(
        generate(maker, share, seed=seed + k, device=device)
        for k, (maker, share) in enumerate(zip(makers, shares, strict=True))
    )
    write_image_set(run_folder / "fakes", spec, images, drawn)
    return len(drawn)
