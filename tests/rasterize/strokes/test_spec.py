"""The spec: JSON and back, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rasterize.errors import InputError
from rasterize.strokes.channels import choose_attributes
from rasterize.strokes.options import Drawing
from rasterize.strokes.places import Place, Station
from rasterize.strokes.spec import SPEC_VERSION, StrokeSpec
from tests.spec_examples import make_spec, make_trips


def full_spec():
    """A spec with channels, factors, and a merged place with loops."""
    channels, factors = choose_attributes(make_trips(300, np.random.default_rng(0)), {"time_of_day": "cyclic"})
    spec = make_spec([(3, 3), (9.5, 4), (12, 12)], channels=channels, factors=factors)
    twin = (Station(id="1", name="a", lat=1.0, lng=2.0, starts=3, ends=4),) * 2
    merged = Place(lat=40.01, lng=-73.99, stations=twin, loops=((0, 1, 7),))
    return replace(spec, places=(*spec.places, merged))


def test_json_and_back():
    spec = full_spec()
    assert StrokeSpec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False))) == spec


def test_shape_and_names_of_planes():
    spec = full_spec()
    assert spec.plane_names == ("A", "B", "O", "D", "duration_s", "birth_year", "time_of_day[0]", "time_of_day[1]")
    assert spec.shape == (8, 16, 16)
    assert make_spec([(3, 3), (4, 4)], mode="grey").plane_names == ("grey",)


@pytest.mark.parametrize("version", [0, 1, None, "1"])
def test_an_unknown_version_is_refused(version):
    with pytest.raises(InputError, match=f"this program reads version {SPEC_VERSION}; make the images again"):
        StrokeSpec.from_json({**full_spec().to_json(), "version": version}, "x/spec.json")


@pytest.mark.parametrize("part", ["frame", "drawing", "channels", "places"])
def test_a_missing_part_is_refused(part):
    value = full_spec().to_json()
    del value[part]
    with pytest.raises(InputError, match=f"x/spec.json: damaged spec .*{part}"):
        StrokeSpec.from_json(value, "x/spec.json")


def test_unknown_modes_and_negative_sizes_are_refused():
    with pytest.raises(InputError, match="modes: abod, grey"):
        Drawing(mode="rgb")
    with pytest.raises(InputError, match="above 0"):
        Drawing(blob_gain=0)
