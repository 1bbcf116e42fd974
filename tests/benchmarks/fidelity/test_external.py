"""Rivals from elsewhere are chosen by their names."""

import pytest

from benchmarks.fidelity.external import choose_externals
from rasterize.errors import InputError


def test_rivals_are_chosen_once_each_and_unknown_names_are_said():
    assert list(choose_externals(["tvae", "tvae"])) == ["tvae"]
    with pytest.raises(InputError, match="--external gan: unknown; there are tabular-argn, tvae, ctgan"):
        choose_externals(["gan"])
