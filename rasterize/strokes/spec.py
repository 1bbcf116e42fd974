"""The spec of an image set: everything that gives its pixels a meaning, as one JSON object."""

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
    """The meaning of an image set.

    `calendar` counts trips per ISO date; `source` is what the writer of a dialect needs (see `formats`).
    `bent` says that strokes follow waypoints instead of straight lines.
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

    def places_of(self, trips: pd.DataFrame) -> NDArray:
        """Origin and destination place of each trip by its stations' ids, int32 [N, 2]; −1: not a station of ours."""
        place_of = {station.id: number for number, place in enumerate(self.places) for station in place.stations}
        columns = [trips[f"{end}_station_id"].map(place_of) for end in ("start", "end")]
        return np.stack([column.fillna(-1).to_numpy(np.int32) for column in columns], axis=1)

    def trip_features(self, ends: NDArray, labels: NDArray) -> pd.DataFrame:
        """What images tell of trips besides painted values: where their places are, `distance_m`, each factor's value.

        ends : places [S, 2]. labels : [S, F].
        """
        degrees = {axis: np.array([getattr(place, axis) for place in self.places], float) for axis in ("lat", "lng")}
        at = {f"{end}_{axis}": degrees[axis][ends[:, k]] for k, end in enumerate(("start", "end")) for axis in degrees}
        features = pd.DataFrame(at)
        features["distance_m"] = trip_metres(features)
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
        """The spec as a JSON object."""
        return {
            "version": SPEC_VERSION,
            "shape": list(self.shape),
            "planes": list(self.plane_names),
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
        """The inverse of `to_json`; raises `InputError` on another version or a missing or malformed part."""
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
