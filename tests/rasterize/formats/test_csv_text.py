"""Lines of CSV: cells are those of Python's own reader, but show their quotes."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.formats.csv_text import split_header, split_line, unquote

CELLS = st.lists(st.text(alphabet='ab ,;\t"é', max_size=6), min_size=1, max_size=5)


@given(CELLS, st.sampled_from(",;\t"))
def test_cells_are_those_of_pythons_reader(cells, delimiter):
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    line = delimiter.join(quoted)
    assert split_line(line, delimiter) == quoted
    assert [unquote(cell) for cell in quoted] == next(csv.reader([line], delimiter=delimiter)) == cells


def test_a_cell_keeps_its_quotes():
    assert split_line('1,"8 St, Hoboken",,"The ""Hub"""', ",") == ["1", '"8 St, Hoboken"', "", '"The ""Hub"""']


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_header_shows_what_separates_its_columns(delimiter):
    header = delimiter.join(['"left"', " arrived ", "from, to" if delimiter != "," else "from"])
    assert split_header(header) == (("left", "arrived", header.split(delimiter)[2]), delimiter)
