"""What the codec alone can reach: fresh trips that keep their ends and labels, and get painted ranks by chance."""

from pathlib import Path

import numpy as np
import pandas as pd

from rasterize.imageset import ImageSet
from rasterize.strokes.channels import LOWEST_LEVEL
from rasterize.strokes.table import encode_labels


def fresh_through_codec(run: Path, fresh: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fresh real trips with durations and birth years as `decode --ranks drawn` gives them for the spec of a run.

    What is missing stays so. A generator that paints flows, times, labels and what is missing as fresh trips have them
    would come out like this.
    """
    spec = ImageSet.open(run / "images").spec
    rng, is_known = np.random.default_rng(seed), (spec.find_ends(fresh) >= 0).all(axis=1)
    trips = fresh[is_known].reset_index(drop=True)
    known = spec.trip_features(spec.find_ends(trips), encode_labels(trips, spec.factors))
    for channel in spec.channels:
        levels = rng.uniform(LOWEST_LEVEL, 1, (len(trips), channel.planes))
        trips[channel.column] = channel.decode(levels, known).round().where(trips[channel.column].notna())
    trips["birth_year"] = trips["birth_year"].astype("Int16")
    trips["ended_at"] = trips["started_at"] + pd.to_timedelta(trips["duration_s"], unit="s").astype("timedelta64[us]")
    return trips
