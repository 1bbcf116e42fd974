"""What the codec alone can reach: fresh trips keep their ends and labels, and their painted ranks are random."""

from pathlib import Path

import numpy as np
import pandas as pd

from rasterize.imageset import ImageSet
from rasterize.strokes.channels import LOWEST_LEVEL
from rasterize.strokes.table import encode_labels


def pass_through_codec(run: Path, fresh: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give fresh real trips the durations and birth years that `decode --ranks drawn` gives for the spec of a run.

    This bounds what a generator can reach: it would have to paint flows, times and labels exactly as fresh trips have
    them.

    Parameters
    ----------
    run : Path
        A run folder with images.
    fresh : pd.DataFrame
        Real trips that no model has seen.
    seed : int
        Seed of the ranks.

    Returns
    -------
    pd.DataFrame
        The trips between places of the spec; values that were missing stay missing.
    """
    spec = ImageSet.open(run / "images").spec
    # Trips to stations that the spec lacks cannot be drawn.
    rng, has_places = np.random.default_rng(seed), (spec.find_ends(fresh) >= 0).all(axis=1)
    trips = fresh[has_places].reset_index(drop=True)
    # Replace each painted value by one of a random rank among trips alike.
    features = spec.trip_features(spec.find_ends(trips), encode_labels(trips, spec.factors))
    for channel in spec.channels:
        levels = rng.uniform(LOWEST_LEVEL, 1, (len(trips), channel.planes))
        trips[channel.column] = channel.decode(levels, features).round().where(trips[channel.column].notna())
    trips["birth_year"] = trips["birth_year"].astype("Int16")
    trips["ended_at"] = trips["started_at"] + pd.to_timedelta(trips["duration_s"], unit="s").astype("timedelta64[us]")
    return trips
