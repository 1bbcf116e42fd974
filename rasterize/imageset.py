"""Image sets: a folder of images with labels, and the spec that gives them a meaning.

The files of an image set, N images of shape (C, H, W) with F label factors:

spec.json
    What the planes and labels mean, see `rasterize.spec`. It is written last: a folder without it is unfinished.
labels.npy
    int16 [N, F]: the labels of each image, as indices into the values of its factors.
images.npy
    float16 [N, C, H, W]: the levels. Generated sets always have it; drawn ones if it is small.
strokes.npz
    What drawn images are drawn from, see `rasterize.strokes.strokes.Strokes`. Generated sets have none.

Pictures for people may lie beside these; they are not read.
"""

import json
from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import ArrayLike, NDArray

from rasterize.errors import InputError
from rasterize.files import sha256, write_atomically, write_json
from rasterize.spec import Factor, Spec
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd
    from PIL import Image

    from rasterize.strokes.pen import Pen

STORED_TYPE = np.float16  # 11 significant bits: a level of 1 is stored to 0.0005

# Pieces of stroke per image, up to which images are drawn although they are stored. At 64 pieces drawing is 3.3 times
# as fast as reading (docs/benchmarks/codec.md, "Drawing"); beyond, the advantage shrinks.
DRAWN_PIECES = 100


class ImageSet:
    """An image set on disk: drawn on the fly, or read from images.npy, whichever is faster.

    Attributes
    ----------
    folder : Path
        Where its files are.
    spec : Spec
        The meaning of its images, as the spec of their codec.
    labels : (N, F) int16
        The labels of each image.
    """

    def __init__(self, folder: Path, spec: StrokeSpec, labels: NDArray) -> None:
        self.folder = folder
        self.spec = spec
        self.labels = labels
        self._strokes = _load_strokes(folder / "strokes.npz")

        # Read what is stored if there is nothing to draw from, or if images are too crowded to draw.
        self._images = None
        stored = folder / "images.npy"
        if self._strokes is None or (stored.exists() and self._strokes.pieces_per_image > DRAWN_PIECES):
            self._images = np.load(stored, mmap_mode="r")
        self._check()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a finished image set.

        Parameters
        ----------
        folder : Path
            Where its files are.

        Returns
        -------
        ImageSet
            Its spec and labels are read; images are drawn or read when they are asked for.

        Raises
        ------
        InputError
            The set is absent, unfinished, of another version or damaged.
        """
        path = Path(folder) / "spec.json"
        if not path.exists():
            how = "`python -m pgan sample`" if path.parent.name == "fakes" else "`make raster`"
            raise InputError(f"{folder}: no finished image set (no spec.json); {how} makes one")
        try:
            spec = StrokeSpec.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
            return cls(Path(folder), spec, np.load(Path(folder) / "labels.npy"))
        except InputError:
            raise
        except (OSError, EOFError, ValueError, BadZipFile) as error:
            raise InputError(f"{folder}: damaged image set ({error}); make it again") from error

    def _check(self) -> None:
        """Raise `InputError` unless images, labels and spec are of one shape."""
        stored = self.shape if self._images is None else self._images.shape[1:]
        images = len(self._strokes.offsets) - 1 if self._strokes else len(self._images)
        if tuple(stored) != self.shape:
            raise InputError(
                f"{self.folder}: images have shape {tuple(stored)}, spec.json says {self.shape}; make it again"
            )
        if self.labels.shape != (images, len(self.factors)):
            raise InputError(
                f"{self.folder}: labels.npy has shape {self.labels.shape}, but there are {images} images "
                f"and {len(self.factors)} factors; make it again"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.spec.shape

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The label factors, one per column of `labels`."""
        return self.spec.factors

    @property
    def files(self) -> list[Path]:
        """The files the images come from, in a fixed order."""
        names = ("spec.json", "labels.npy", "strokes.npz", "images.npy")
        return [self.folder / name for name in names if (self.folder / name).exists()]

    @property
    def strokes(self) -> Strokes | None:
        """What the images are drawn from; None for generated ones."""
        return self._strokes

    def one_by_one(self) -> Self:
        """Return the set with each stroke in an image of its own, with the labels of the image it was in.

        Returns
        -------
        ImageSet
            On the same folder; itself where each stroke is alone already.

        Raises
        ------
        InputError
            Generated images: nothing is known of what they show.
        """
        if self.spec.trips_per_image == 1:
            return self
        if self._strokes is None:
            raise InputError(f"{self.folder}: no strokes.npz, so its images cannot be drawn one by one")

        # A copy with one stroke per image; it never reads what is stored.
        alone = copy(self)
        vars(alone).pop("_pen", None)
        alone.spec = replace(self.spec, trips_per_image=1)
        alone.labels = np.repeat(self.labels, np.diff(self._strokes.offsets), axis=0)
        alone._strokes = replace(self._strokes, offsets=np.arange(len(alone.labels) + 1))
        alone._images = None
        return alone

    @cached_property
    def _pen(self) -> "Pen":
        from rasterize.strokes.pen import Pen  # numba is slow to import

        return Pen(self.spec)

    @property
    def fingerprint(self) -> str:
        """Half the SHA-256 of spec.json, then half that of labels.npy. Image sets of one fingerprint mean the same."""
        return sha256(self.folder / "spec.json")[:32] + sha256(self.folder / "labels.npy")[:32]

    # ---- for people: what lies beside the images in their run folder

    def trips(self) -> "pd.DataFrame":
        """Read the clean trips of the run, training and held-out ones; `split` tells which.

        Returns
        -------
        DataFrame
            Internal names, one row per trip; for the columns see docs/data-model.md. `attrs` holds the run's
            `speed_limit_kmh`, so that `decode.compare` knows it.
        """
        if self._strokes is None:
            raise InputError(f"{self.folder}: generated images hold no clean trips; decode.decode reads theirs")
        import pandas as pd

        from rasterize.formats.source_format import read_speed_limit

        trips = pd.read_parquet(self._beside("trips.parquet"))
        trips.attrs["speed_limit_kmh"] = read_speed_limit(self.spec.source)
        return trips

    def stations(self) -> "gpd.GeoDataFrame":
        """Read the stations of the run: id, name, position, starts and ends.

        Returns
        -------
        GeoDataFrame
        """
        import geopandas as gpd  # slow to import

        return gpd.read_parquet(self._beside("stations.parquet"))

    @property
    def rejects(self) -> dict[str, Any]:
        """What became of every row of the input, as in rejects.json."""
        return json.loads(self._beside("rejects.json").read_text(encoding="utf-8"))

    def show(self, count: int = 12) -> "Image.Image":
        """Draw the first images side by side, in colours.

        Parameters
        ----------
        count : int
            How many, at least 1.

        Returns
        -------
        PIL.Image.Image
            Shows itself in a notebook.
        """
        if count < 1:
            raise InputError(f"show({count}): at least one image must be shown")
        from PIL import Image

        from rasterize.pictures import draw_contact_sheet  # slow to import

        shown = self.read(np.arange(min(count, len(self))))
        return Image.fromarray(draw_contact_sheet(shown, self.spec, columns=-(-len(shown) // -(-len(shown) // 10))))

    def _beside(self, name: str) -> Path:
        """Return a file of the run folder; raises `InputError` where it is not there."""
        path = self.folder.parent / name
        if not path.exists():
            raise InputError(f"{path}: is not there; `make raster` makes it")
        return path

    def __repr__(self) -> str:
        channels, height, width = self.shape
        return f"ImageSet({str(self.folder)!r}, {len(self):,} images, {channels} × {height} × {width})"

    def _repr_html_(self) -> str:
        """Show the handle and some images in a notebook."""
        from base64 import b64encode
        from html import escape
        from io import BytesIO

        data = BytesIO()
        self.show().save(data, "PNG")
        code = b64encode(data.getvalue()).decode("ascii")
        return f'<code>{escape(repr(self))}</code><br><img alt="first images" src="data:image/png;base64,{code}">'

    def read(self, which: ArrayLike) -> NDArray:
        """Draw or read images.

        Parameters
        ----------
        which : (B,) int
            Numbers of the images.

        Returns
        -------
        (B, C, H, W) float32
            Their levels, in the order of `which`.

        Raises
        ------
        IndexError
            A number that no image has.
        """
        which = np.asarray(which, np.int64)
        if which.size and (which.min() < 0 or which.max() >= len(self)):
            raise IndexError(f"{self.folder}: images 0 … {len(self) - 1}, not {which.min()} … {which.max()}")
        if self._images is None:
            return self._pen.draw(self._strokes, which)
        return self._images[which].astype(np.float32)


def _load_strokes(path: Path) -> Strokes | None:
    """Read strokes.npz, if it is there."""
    if not path.exists():
        return None
    with np.load(path) as arrays:
        return Strokes(**{name: arrays[name] for name in arrays.files})


def begin_image_set(folder: Path) -> None:
    """Take away the spec of an older image set: without it a folder is not taken for finished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").unlink(missing_ok=True)


def write_labels_and_spec(folder: Path, spec: Spec | StrokeSpec, labels: NDArray) -> None:
    """Finish an image set: write its labels, and its spec last.

    Parameters
    ----------
    folder : Path
        Where all other files of the set are already.
    spec : Spec or a codec's own
        The meaning of the images.
    labels : (N, F) int
        The labels of each image.
    """
    with write_atomically(folder / "labels.npy") as temporary:
        np.save(temporary, np.asarray(labels, np.int16))
    write_json(folder / "spec.json", spec.to_json())


def write_strokes(folder: Path, strokes: Strokes) -> None:
    """Write what an image set is drawn from, strokes.npz."""
    with write_atomically(folder / "strokes.npz") as temporary:
        np.savez(temporary, **vars(strokes))


def write_images(path: Path, batches: Iterable[NDArray], *, count: int, shape: tuple[int, int, int]) -> None:
    """Write images as float16 [N, C, H, W], batch by batch in constant memory.

    Parameters
    ----------
    path : Path
        The .npy file.
    batches : iterable of (n, C, H, W) arrays
        Levels; `count` images in all.
    count : int
        N.
    shape : tuple of int
        (C, H, W).
    """
    with write_atomically(path) as temporary:
        array = open_memmap(temporary, mode="w+", dtype=STORED_TYPE, shape=(count, *shape))
        done = 0
        for batch in batches:
            array[done : done + len(batch)] = batch
            done += len(batch)
        assert done == count, f"{done} images came, {count} were announced"
        array.flush()
        del array


def write_image_set(folder: Path, spec: Spec | StrokeSpec, images: Iterable[NDArray], labels: NDArray) -> None:
    """Write generated images as an image set: images.npy, labels.npy, then spec.json.

    Parameters
    ----------
    folder : Path
        The folder of the set; an older set in it is replaced.
    spec : Spec or a codec's own
        The meaning of the images.
    images : iterable of (n, C, H, W) arrays
        Batches of levels; together as many images as `labels` has rows.
    labels : (N, F) int16
        The labels of each image.
    """
    begin_image_set(folder)
    (folder / "strokes.npz").unlink(missing_ok=True)
    write_images(folder / "images.npy", images, count=len(labels), shape=spec.shape)
    write_labels_and_spec(folder, spec, labels)
