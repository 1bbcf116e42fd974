"""Label factors: values ↔ labels."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.spec import Factor


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=20))
def test_factors_come_back(values):
    values = pd.Series(values, dtype="str")
    factor = Factor(name="user_type").fit(values)
    pd.testing.assert_series_equal(factor.decode(factor.encode(values)), values, check_dtype=False)


def test_a_factor_refuses_a_value_it_does_not_list():
    with pytest.raises(InputError, match="no value 'c'; known values: a, b"):
        Factor(name="x", values=("a", "b")).encode(pd.Series(["a", "c"]))
