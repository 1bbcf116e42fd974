"""The resolution is chosen so that neighbouring stations lie far enough apart."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.simulated_city import write_city
from rasterize.strokes.frame import Frame
from rasterize.strokes.resolution import SIDES, SPACING_PER_ERROR, choose_resolution


def lattice(count):
    """count × count stations 0.01 degrees apart on the equator, and the frames around them."""
    lat, lng = (axis.ravel() * 0.01 for axis in np.meshgrid(np.arange(count), np.arange(count)))
    return lat, lng, lambda side: Frame.around(lat, lng, height=side, width=side)


@given(st.integers(2, 40), st.floats(0.1, 1.0))
def test_the_smallest_sufficient_side_is_chosen(count, error):
    lat, lng, frame_at = lattice(count)
    side, reason = choose_resolution(lat, lng, frame_at, error_px=error)
    spacing = {s: (s - 4) / (count - 1) for s in SIDES}  # a margin of 2 pixels on each side
    enough = [s for s in SIDES if spacing[s] >= SPACING_PER_ERROR * error * (1 + 1e-9)]
    near = any(abs(spacing[s] / (SPACING_PER_ERROR * error) - 1) < 1e-6 for s in SIDES)
    assert near or side == min(enough, default=SIDES[-1])
    assert reason.startswith(f"{side} px") and f"{count * count} stations" in reason
    assert ("snapped to a neighbour" in reason) == (not enough) or near


def test_without_stations_there_is_nothing_to_tell_apart():
    side, reason = choose_resolution(np.zeros(1), np.zeros(1), lattice(2)[2], error_px=0.35)
    assert side == 64 and "no stations" in reason


@pytest.mark.parametrize(("error", "side"), [("0.35", 32), ("1.2", 64)])
def test_the_command_prints_its_reason(tmp_path, error, side):
    write_city(tmp_path / "city.csv", trips=2000)
    words = ["-m", "rasterize", tmp_path / "city.csv", "--run", tmp_path / "run", "--resolution", "auto"]
    done = subprocess.run(
        [sys.executable, *map(str, words), "--endpoint-error", error],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = re.sub(r"\s+", " ", done.stdout)
    assert f"resolution {side} px: half of the 30 stations have a neighbour within" in said
    assert f"{side} × {side} px" in said
