"""The spec of images of trips: everything that gives their pixels a meaning, as one JSON object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.distance import trip_metres
from rasterize.spec import SPEC_VERSION, Factor, check_version, damage_explained, factors_from_json
from rasterize.strokes.channels import Channel, channel_from_json, channel_to_json
from rasterize.strokes.frame import Frame
from rasterize.strokes.lattice import lattice_xy
from rasterize.strokes.options import Drawing
from rasterize.strokes.places import Place, place_from_json


@dataclass(frozen=True, kw_only=True)
class StrokeSpec:
    """The meaning of images of trips; what other codecs share with it is in `rasterize.spec.Spec`.

    Attributes
    ----------
    frame : Frame
        Which piece of the earth the images show, and their size.
    drawing : Drawing
        How strokes are drawn.
    channels : tuple of Channel
        Painted attributes, in the order of their planes.
    factors : tuple of Factor
        Attributes that all trips of an image share, in the order of its labels.
    places : tuple of Place
        What the images can tell apart; a stroke runs from one place to another.
    trips_per_image : int
        At most this many trips share an image.
    bent : bool
        Whether strokes follow waypoints instead of straight lines.
    calendar : mapping of str to int
        Training trips per ISO date.
    source : mapping
        What is needed to write trips like the file they came from, see `rasterize.formats.source_format`.
    """

    kind: ClassVar[str] = "strokes"

    frame: Frame
    drawing: Drawing
    channels: tuple[Channel, ...]
    factors: tuple[Factor, ...]
    places: tuple[Place, ...]
    trips_per_image: int = 1
    bent: bool = False
    calendar: Mapping[str, int] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return len(self.plane_names), self.frame.height, self.frame.width

    @property
    def plane_names(self) -> tuple[str, ...]:
        """One name per plane, in order: the strokes, then each painted attribute."""
        painted = [
            channel.column if channel.planes == 1 else f"{channel.column}[{plane}]"
            for channel in self.channels
            for plane in range(channel.planes)
        ]
        return (*self.drawing.planes, *painted)

    def find_ends(self, trips: pd.DataFrame) -> NDArray:
        """Return origin and destination place of each trip, int32 [N, 2]; −1 where its station is not in the spec."""
        place_of = {station.id: number for number, place in enumerate(self.places) for station in place.stations}
        columns = [trips[f"{end}_station_id"].map(place_of) for end in ("start", "end")]
        return np.stack([column.fillna(-1).to_numpy(np.int32) for column in columns], axis=1)

    def trip_features(self, ends: NDArray, labels: NDArray) -> pd.DataFrame:
        """Return what images tell of trips besides painted values: the inputs of a `Tree`.

        Parameters
        ----------
        ends : (S, 2) int
            Origin and destination place of each trip.
        labels : (S, F) int
            The label of each trip by factor.

        Returns
        -------
        DataFrame of S rows
            `start_lat`, `start_lng`, `end_lat` and `end_lng` of the places, in degrees; `distance_m` between them, in
            metres; the value of each factor, as a category.
        """
        # Where the places of both ends are.
        degrees = {axis: np.array([getattr(place, axis) for place in self.places], float) for axis in ("lat", "lng")}
        at = {f"{end}_{axis}": degrees[axis][ends[:, k]] for k, end in enumerate(("start", "end")) for axis in degrees}
        features = pd.DataFrame(at)
        features["distance_m"] = trip_metres(features)

        # The labels of their images.
        for column, factor in enumerate(self.factors):
            features[factor.name] = pd.Categorical.from_codes(labels[:, column], factor.values)
        return features

    @cached_property
    def place_xy(self) -> NDArray:
        """Places in pixels (x, y), float64 [places, 2]."""
        lat, lng = [place.lat for place in self.places], [place.lng for place in self.places]
        xy = np.stack(self.frame.to_pixels(lat, lng), axis=1)
        if self.drawing.layout == "map":
            return xy
        return lattice_xy(xy, height=self.frame.height, width=self.frame.width)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as a JSON object."""
        return {
            # What all codecs write, see `rasterize.spec.Spec`.
            "version": SPEC_VERSION,
            "shape": list(self.shape),
            "planes": list(self.plane_names),
            # What this codec alone reads.
            "trips_per_image": self.trips_per_image,
            "bent": self.bent,
            "frame": self.frame.to_json(),
            "drawing": vars(self.drawing).copy(),
            "channels": [channel_to_json(channel) for channel in self.channels],
            "factors": [{"name": factor.name, "values": list(factor.values)} for factor in self.factors],
            "calendar": dict(self.calendar),
            "source": dict(self.source),
            "places": [
                {
                    "lat": place.lat,
                    "lng": place.lng,
                    "stations": [vars(station).copy() for station in place.stations],
                    "loops": [list(loop) for loop in place.loops],
                }
                for place in self.places
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "spec.json") -> Self:
        """Read the JSON object of `to_json`; raises `InputError` on another version or a damaged spec."""
        check_version(value, where)
        with damage_explained(where):
            return cls(
                frame=Frame.from_json(value["frame"]),
                drawing=Drawing(**value["drawing"]),
                channels=tuple(channel_from_json(channel) for channel in value["channels"]),
                factors=factors_from_json(value["factors"]),
                places=tuple(place_from_json(place) for place in value["places"]),
                trips_per_image=value["trips_per_image"],
                bent=value["bent"],
                calendar=value["calendar"],
                source=value["source"],
            )
