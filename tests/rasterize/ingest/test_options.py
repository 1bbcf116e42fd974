"""Options: a setting that makes no sense is refused by name."""

import pytest

from rasterize.errors import InputError
from rasterize.ingest.options import CleanOptions, IngestOptions, StopOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_duration_s": 100, "max_duration_s": 100}, "min_duration_s 100: must be less than max_duration_s"),
        ({"box_quantile": 0.5}, r"box_quantile 0.5: must lie in \[0, 0.5\)"),
        ({"depot_names": "("}, r"depot_names '\(': no regular expression"),
        ({"max_speed_kmh": 0}, "--max-speed 0: must be above 0 km/h"),
        ({"vehicle": "boat"}, "--vehicle boat: give one of bike"),
    ],
)
def test_clean_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        CleanOptions(**options)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"snap_m": -1}, "snap_m must not be negative; cell_px must be at least 1"),
        ({"cell_px": 0}, "snap_m must not be negative; cell_px must be at least 1"),
        ({"resolution": 0}, "--resolution 0: give a side such as 64"),
        ({"resolution": "48x64x3"}, "--resolution 48x64x3: give a side such as 64"),
        ({"endpoint_error_px": 0}, "--endpoint-error 0: must be above 0 pixels"),
    ],
)
def test_stop_options_are_checked(wrong, message):
    with pytest.raises(InputError, match=message):
        StopOptions(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"time_zone": "Atlantis"}, "time zone 'Atlantis': not known"),
        ({"train_share": 0}, "train_share 0: must lie in"),
        ({"train_share": 1.5}, "train_share 1.5: must lie in"),
    ],
)
def test_ingest_options_are_checked(wrong, message):
    with pytest.raises(InputError, match=message):
        IngestOptions(**wrong)
