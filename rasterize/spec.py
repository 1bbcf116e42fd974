"""What every codec's spec tells of its images: kind, shape, planes and label factors; all that pgan may see.

A codec's own spec, such as `rasterize.strokes.spec.StrokeSpec`, has these attributes too, and more.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import DAYS, HOURS
from rasterize.errors import InputError

SPEC_VERSION = 3
FACTOR_LIMIT = 256  # values of one factor; more would leave most of them almost without images; not swept


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What is known of images without knowing what they show; for whoever only carries them along.

    Attributes
    ----------
    kind : str
        The codec that gives the planes a meaning.
    shape : tuple of int
        (C, H, W) of one image.
    plane_names : tuple of str
        One name per plane, in order.
    factors : tuple of Factor
        The label factors, one per column of an image set's labels.
    content : mapping
        The whole JSON object; all but the above is carried along unread.
    """

    kind: str
    shape: tuple[int, int, int]
    plane_names: tuple[str, ...]
    factors: tuple["Factor", ...]
    content: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the spec as a JSON object, with all that its codec wrote."""
        return dict(self.content)

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "spec.json") -> Self:
        """Read the JSON object of `to_json`; raises `InputError` on another version or a damaged spec."""
        check_version(value, where)
        with damage_explained(where):
            return cls(
                kind=value.get("kind", "strokes"),
                shape=tuple(value["shape"]),
                plane_names=tuple(value["planes"]),
                factors=factors_from_json(value["factors"]),
                content=value,
            )


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A label shared by all that one image shows.

    Attributes
    ----------
    name : str
        What the label tells.
    values : tuple of str
        Its values; a label is an index into these. The empty text is a missing value.
    """

    name: str
    values: tuple[str, ...] = ()

    def fit(self, values: pd.Series) -> Self:
        """List the values that occur."""
        return self if self.values else replace(self, values=list_values(self.name, values))

    def encode(self, values: pd.Series) -> NDArray:
        """Turn values into labels, int16 [N]; raises `InputError` on a value that is not listed."""
        index = pd.Index(self.values).get_indexer(values.astype(object).fillna("").astype(str))
        if (index < 0).any():
            strange = values[index < 0].iloc[0]
            raise InputError(f"factor '{self.name}' has no value '{strange}'; known values: {', '.join(self.values)}")
        return index.astype(np.int16)

    def decode(self, index: NDArray) -> pd.Series:
        """Turn labels into values; the empty text becomes a missing value."""
        value = np.array(self.values, dtype=object)[index]
        return pd.Series(np.where(value == "", None, value), dtype="str")


def list_values(name: str, values: pd.Series) -> tuple[str, ...]:
    """Return the values of a category: hours and days in their order, others sorted; at most `FACTOR_LIMIT`."""
    # A clock has all its readings, whichever occur.
    fixed = {"hour": HOURS, "day_of_week": DAYS}.get(name)
    if fixed:
        return fixed
    listed = tuple(sorted(values.astype(object).fillna("").astype(str).unique()))
    if len(listed) > FACTOR_LIMIT:
        raise InputError(f"'{name}' has {len(listed)} values, more than {FACTOR_LIMIT}; paint it or leave it out")
    return listed


def factors_from_json(values: Sequence[Mapping[str, Any]]) -> tuple[Factor, ...]:
    """Read the label factors of a spec's JSON object."""
    return tuple(Factor(name=value["name"], values=tuple(value["values"])) for value in values)


def check_version(value: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` unless the JSON object of a spec has the version this program reads."""
    version = value.get("version")
    if version != SPEC_VERSION:
        raise InputError(
            f"{where}: spec version {version!r}, but this program reads version {SPEC_VERSION}; "
            "make the images again with `make raster`"
        )


@contextmanager
def damage_explained(where: str) -> Iterator[None]:
    """Turn a missing or malformed part of a spec into an `InputError` that names the file."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{where}: damaged spec ({type(error).__name__}: {error}); make it again with `make raster`"
        ) from error
