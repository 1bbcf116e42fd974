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

BATCH = 64  # images made at a time; set by hand: another one would give other bits
MOST_NAMED = 10  # combinations of labels in a message


def share_out(counts: ArrayLike, total: int, *, rng: np.random.Generator) -> NDArray:
    """Split a total over cells in proportion to their counts: each gets its quota rounded up or down.

    Parameters
    ----------
    counts : (U,) int
        Weights of the cells, above 0 in sum.
    total : int
        What to split.
    rng : numpy Generator
        Draws the start.

    Returns
    -------
    (U,) int64
        Shares; their sum is `total`. If that is the sum of `counts`, they are `counts`.

    Notes
    -----
    Systematic sampling: one random start, equal steps along the cumulated counts. The expectation of every cell is its
    quota, also where quotas are far below one. There the largest-remainder rule would starve rare cells.
    """
    counts = np.asarray(counts, np.int64)
    edges = np.concatenate([[0], np.cumsum(counts)])  # exact: integers
    # Picks lie at (k + start) · sum / total, k = 0 … total − 1; below an edge e are ceil(e · total / sum − start)
    start = rng.random()
    below = np.ceil(edges * (total / edges[-1]) - start).astype(np.int64)
    below[0], below[-1] = 0, total
    return np.diff(below)


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """Images that somebody asks for: those whose labels meet every condition.

    Attributes
    ----------
    text : str
        The request as it was written.
    conditions : tuple of (int, int)
        Factors and the value of each, as indices.
    count : int or None
        How many images; None leaves it open.
    """

    text: str
    conditions: tuple[tuple[int, int], ...]
    count: int | None

    @classmethod
    def read(cls, text: str, factors: Sequence[Factor]) -> Self:
        """Read FACTOR=VALUE[,FACTOR=VALUE …][:COUNT]; raises `InputError` on what is unknown or malformed.

        The empty value is the missing one. A value may hold commas, and colons if it is a known one.
        """
        conditions, names, count = [], [factor.name for factor in factors], None
        # A comma parts two conditions only if a name and an equals sign follow.
        *others, last = re.split(r",(?=[^,=]+=)", text)
        for condition in (*others, last):
            name, equals, value = condition.partition("=")
            name = name.strip()
            if not equals:
                raise InputError(
                    f"--label {text}: expected FACTOR=VALUE[,FACTOR=VALUE][:COUNT]; {_list_factors(names)}"
                )
            if name not in names:
                raise InputError(f"--label {text}: images have no factor '{name}'; {_list_factors(names)}")
            column = names.index(name)
            if any(column == other for other, _ in conditions):
                raise InputError(f"--label {text}: an image has one '{name}'; for several give each a :COUNT")
            # The last condition may end in a count.
            values = factors[column].values
            if condition is last and value not in values and ":" in value:
                value, _, number = value.rpartition(":")
                count = _read_count(number, text)
            if value not in values:
                known = ", ".join(item or "'' (missing)" for item in values)
                raise InputError(f"--label {text}: '{name}' has no value '{value}'; known values: {known}")
            conditions.append((column, values.index(value)))
        return cls(text=text, conditions=tuple(conditions), count=count)

    def find_cells(self, rows: NDArray, factors: Sequence[Factor]) -> NDArray:
        """Find which of the distinct labels of training [U, F] meet it; raises `InputError` if none does."""
        columns, wanted = zip(*self.conditions, strict=True)
        met = rows[:, columns] == wanted
        cells = np.flatnonzero(met.all(axis=1))
        if len(cells):
            return cells
        # None: name those that meet most conditions.
        nearest = rows[np.argsort(-met.sum(axis=1), kind="stable")][:, columns]
        seen = list(dict.fromkeys(map(tuple, nearest.tolist())))
        texts = [
            ",".join(f"{factors[k].name}={factors[k].values[v]}" for k, v in zip(columns, values, strict=True))
            for values in seen[:MOST_NAMED]
        ]
        more = f"; and {len(seen) - MOST_NAMED} more" if len(seen) > MOST_NAMED else ""
        raise InputError(f"--label {self.text}: no training image has it; known: {'; '.join(texts)}{more}")


def _list_factors(names: Sequence[str]) -> str:
    """Name the factors there are, for a message."""
    return f"factors: {', '.join(names)}" if names else "these images were made without factors"


def _read_count(number: str, text: str) -> int:
    """Read the COUNT of a request."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", number):
        raise InputError(f"--label {text}: the count '{number}' is not a whole number from 1 to 999999999")
    return int(number)


def draw_labels(
    snapshot: Snapshot, count: int | None, *, rng: np.random.Generator, asked: Sequence[str] = ()
) -> NDArray:
    """Draw labels for images, in the proportions of the training images, shuffled.

    Parameters
    ----------
    snapshot : Snapshot
        Knows the labels of the training images.
    count : int or None
        How many; None for as many as `asked` says, or as were trained on.
    rng : numpy Generator
        Draws the labels and their order.
    asked : sequence of str
        Requests, see `LabelRequest.read`. If they have counts, each is met by exactly as many images; if none has, all
        images meet all of them. The other factors keep the joint distribution of the training images that meet the
        request.

    Returns
    -------
    (N, F) int64
        Labels.

    Raises
    ------
    InputError
        A request is malformed, or cannot be met.
    """
    rows, counts = snapshot.label_rows.numpy(), snapshot.label_counts.numpy()
    shares = np.zeros_like(counts)
    for cells, number in _group_requests(snapshot, count, asked):
        shares[cells] += share_out(counts[cells], number, rng=rng)
    return rng.permutation(np.repeat(rows, shares, axis=0))


def _group_requests(snapshot: Snapshot, count: int | None, asked: Sequence[str]) -> list[tuple[NDArray, int]]:
    """Find out which distinct labels share how many images; groups do not overlap."""
    rows, trained_on = snapshot.label_rows.numpy(), int(snapshot.label_counts.sum())
    factors = Spec.from_json(loads(snapshot.spec), "snapshot.pt").factors
    requests = [LabelRequest.read(text, factors) for text in asked]
    counted = [request for request in requests if request.count is not None]
    # Without counts all requests together are conditions on every image.
    if not counted:
        number = trained_on if count is None else count
        if number < 1:
            raise InputError(f"--images {number}: at least one image is needed")
        cells = LabelRequest.read(",".join(asked), factors).find_cells(rows, factors) if asked else np.arange(len(rows))
        return [(cells, number)]
    # Else each request is a group of its own.
    if len(counted) < len(requests):
        open_one = next(request.text for request in requests if request.count is None)
        raise InputError(f"--label {open_one}: has no count, others have; give each a count (…:COUNT) or none")
    total = sum(request.count for request in counted)
    if count not in (None, total):
        raise InputError(f"--images {count}: --label asks for {total} images in all; leave --images out")
    groups = [(request.find_cells(rows, factors), request.count) for request in counted]
    for (first, (cells, _)), (second, (others, _)) in combinations(zip(counted, groups, strict=True), 2):
        if len(np.intersect1d(cells, others)):
            raise InputError(
                f"--label {first.text} and --label {second.text}: an image can meet both, so that neither count would "
                "hold; add conditions that tell them apart"
            )
    return groups


def generate(snapshot: Snapshot, labels: NDArray, *, seed: int, device: torch.device) -> Iterator[NDArray]:
    """Make one image per row of labels.

    Parameters
    ----------
    snapshot : Snapshot
        Has the generator.
    labels : (N, F) int64
        A label for each image.
    seed : int
        Seed of the latents.
    device : torch.device
        Where to compute.

    Yields
    ------
    (n, C, H, W) float32
        Levels of the next images.
    """
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
    """Write RUN/fakes from RUN/model/snapshot.pt.

    Parameters
    ----------
    run_folder : Path
        Holds the finished model/.
    count : int or None
        How many images; None for as many as `labels` says, or as were trained on.
    seed : int
        Seed of labels and latents.
    device : torch.device
        Where to compute.
    labels : sequence of str
        Requests, see `draw_labels`.
    checkpoints : int, optional
        Share the images among the generators of so many of the newest checkpoints: what one misses another may not.

    Returns
    -------
    int
        How many images were made.

    Raises
    ------
    InputError
        Training has not finished; or a request cannot be met; or fewer checkpoints were kept.
    """
    # Labels first: a request that cannot be met is refused before anything is written.
    snapshot = load_snapshot(run_folder / "model")
    drawn = draw_labels(snapshot, count, rng=np.random.default_rng(seed), asked=labels)
    spec = Spec.from_json(loads(snapshot.spec), f"{run_folder}/model/snapshot.pt")
    makers = [snapshot] if checkpoints is None else load_earlier(run_folder / "model", snapshot, checkpoints)
    # Each generator makes its share, with latents of its own.
    shares = np.array_split(drawn, len(makers))
    images = chain.from_iterable(
        generate(maker, share, seed=seed + k, device=device)
        for k, (maker, share) in enumerate(zip(makers, shares, strict=True))
    )
    write_image_set(run_folder / "fakes", spec, images, drawn)
    return len(drawn)
