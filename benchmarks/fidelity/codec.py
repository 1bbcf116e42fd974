"""What the codec alone can reach: fresh trips that keep their ends and labels, and get painted ranks by chance."""

from pathlib import Path

import numpy as np
import pandas as pd

from rasterize.attributes import LOWEST_LEVEL
from rasterize.imageset import ImageSet
from rasterize.raster import encode_labels


def fresh_through_codec(run: Path, fresh: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fresh real trips with durations and birth years as `decode --ranks drawn` gives them for the spec of a run.

    A generator that paints flows, times and labels like fresh trips do would come out like this.
    """
    spec = ImageSet.open(run / "images").spec
    rng, place_of = (
        np.random.default_rng(seed),
        {s.id: k for k, place in enumerate(spec.places) for s in place.stations},
    )
    known_ends = fresh["start_station_id"].isin(place_of) & fresh["end_station_id"].isin(place_of)
    trips = fresh[known_ends].reset_index(drop=True)
    ends = np.stack([trips[f"{end}_station_id"].map(place_of) for end in ("start", "end")], axis=1)
    known = spec.known_of(ends, encode_labels(trips, spec.factors))
    for channel in spec.channels:
        levels = rng.uniform(LOWEST_LEVEL, 1, (len(trips), channel.planes))
        trips[channel.column] = channel.decode(levels, known).round()
    trips["birth_year"] = trips["birth_year"].astype("Int16")
    trips["ended_at"] = trips["started_at"] + pd.to_timedelta(trips["duration_s"], unit="s").astype("timedelta64[us]")
    return trips
