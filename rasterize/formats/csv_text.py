"""One line of CSV: cells, quotes and the delimiter."""

import re


def split_line(line: str, delimiter: str) -> list[str]:
    """Split one line into cells that keep their quotes, so that it shows which were quoted."""
    if '"' not in line:
        return line.split(delimiter)
    # A cell is quoted as a whole, or free of delimiters. One more delimiter at the end closes the last cell.
    mark = re.escape(delimiter)
    return re.findall(rf'("(?:[^"]|"")*"|[^{mark}]*){mark}', line + delimiter)


def unquote(cell: str) -> str:
    """Return a cell without its quotes."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def split_header(header: str) -> tuple[tuple[str, ...], str]:
    """Return the names of the columns, and what separates them."""
    delimiter = find_delimiter(header)
    return tuple(unquote(cell.strip()).strip() for cell in split_line(header, delimiter)), delimiter


def find_delimiter(header: str) -> str:
    """Return what separates the columns: the most frequent of comma, semicolon and tab."""
    return max(",;\t", key=header.count)
