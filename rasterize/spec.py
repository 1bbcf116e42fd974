"""What every codec's spec tells of its images: kind, shape, planes and label factors; all that pgan may see."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import DAYS, HOURS
from rasterize.errors import InputError

FACTOR_LIMIT = 256  # values of one factor; more would leave most of them almost without images


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A label shared by all trips of an image; its values in a fixed order, the empty text for a missing value."""

    name: str
    values: tuple[str, ...] = ()

    def fit(self, values: pd.Series) -> Self:
        """List the values met."""
        return self if self.values else replace(self, values=known_values(self.name, values))

    def encode(self, values: pd.Series) -> NDArray:
        """Values → their index, int16 [N]; raises `InputError` on a value that is not listed."""
        index = pd.Index(self.values).get_indexer(values.astype(object).fillna("").astype(str))
        if (index < 0).any():
            strange = values[index < 0].iloc[0]
            raise InputError(f"factor '{self.name}' has no value '{strange}'; known values: {', '.join(self.values)}")
        return index.astype(np.int16)

    def decode(self, index: NDArray) -> pd.Series:
        """Index → values; the empty text becomes a missing value."""
        value = np.array(self.values, dtype=object)[index]
        return pd.Series(np.where(value == "", None, value), dtype="str")


def known_values(name: str, values: pd.Series) -> tuple[str, ...]:
    """The values of a category: hours and days in their order, others sorted; at most `FACTOR_LIMIT`."""
    fixed = {"hour": HOURS, "day_of_week": DAYS}.get(name)
    if fixed:
        return fixed
    found = tuple(sorted(values.astype(object).fillna("").astype(str).unique()))
    if len(found) > FACTOR_LIMIT:
        raise InputError(f"'{name}' has {len(found)} values, more than {FACTOR_LIMIT}; paint it or leave it out")
    return found
