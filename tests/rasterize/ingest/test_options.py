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
    ],
)
def test_clean_options_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        CleanOptions(**options)


@pytest.mark.parametrize("wrong", [{"snap_m": -1}, {"cell_px": 0}, {"height": 0}, {"width": 0}])
def test_stop_options_are_checked(wrong):
    with pytest.raises(InputError, match="must be at least 1"):
        StopOptions(**wrong)


def test_the_error_a_frame_is_chosen_by_must_be_above_zero():
    with pytest.raises(InputError, match="--endpoint-error 0: must be above 0 pixels"):
        StopOptions(endpoint_error_px=0)


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
