"""Trip files of any packing → a stream of text, or plain text on disk with every line checked. Bombs are refused."""

import gzip
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from rasterize.errors import InputError
from rasterize.formats.csv_text import find_delimiter

MAX_MEMBERS = 10_000  # of one zip
MAX_BYTES = 20_000_000_000  # unpacked, of one file: about 100 million trips
# Unpacked to packed. The publishers' files we test with have 4 to 9; deflate can reach 1,000. 200 tells both apart.
MAX_RATIO = 200
FREE_BYTES = 1_000_000  # below this no ratio is suspicious: a small file of equal rows packs very well
CHUNK_BYTES = 1 << 20  # of text at a time; not swept, docs/benchmarks/ingest.md has the memory it leads to
# First lines and bytes that show the look of a file; not swept.
SAMPLE_LINES = 500
SAMPLE_BYTES = 1 << 18
SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".zip", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of trips on disk, ready for DuckDB.

    A text table has no header line, no blank lines, and "\n" at line ends.

    Attributes
    ----------
    name
        The user's file, and the member of a zip.
    path
        The table itself, the user's file where that is Parquet.
    parquet
        Whether it is no text; then it has none of what follows.
    header
        The header line.
    crlf
        Whether lines ended as Windows ends them.
    sample
        The first lines, as they are.
    lines
        How many lines are left.
    blank, unreadable
        How many lines were taken out.
    """

    name: str
    path: Path
    parquet: bool = False
    header: str = ""
    crlf: bool = False
    sample: tuple[str, ...] = ()
    lines: int = 0
    blank: int = 0
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One table of trips as the user has it: a file, or a member of a zip."""

    name: str  # the user's file, and the member where a zip has several
    file: Path
    member: int | None = None  # its index in the zip

    @property
    def is_parquet(self) -> bool:
        """Return whether the file holds no text."""
        return self.file.name.lower().endswith(".parquet")


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """List the files of trips that files, globs and folders hold, each once; those of a folder in order of name.

    Raises
    ------
    InputError
        A path that does not exist, or holds no trip file; a file of another type.
    """
    results: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if _is_trip_file(file)]
        elif path.exists():
            files = [path]
        else:
            pattern = path.relative_to(path.anchor)
            files = [file for file in sorted(Path(path.anchor).glob(str(pattern))) if _is_trip_file(file)]
        if not files:
            raise InputError(f"{path}: no such file, or no trip file in it; trips come as {', '.join(SUFFIXES)}")
        results |= dict.fromkeys(files)
    for file in results:
        if not file.name.lower().endswith(SUFFIXES):
            raise InputError(f"{file}: not a trip file by its name; trips come as {', '.join(SUFFIXES)}")
    return list(results)


def _is_trip_file(path: Path) -> bool:
    """Return whether a file is one of trips by its name."""
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(SUFFIXES)


def find_tables(file: Path) -> list[Packed]:
    """List the tables of one file: itself, or the CSVs in a zip.

    Raises
    ------
    InputError
        The file is empty; a zip is damaged, holds no CSV, or says that it unpacks to more than the limits.
    """
    if file.stat().st_size == 0:
        raise InputError(f"{file}: the file is empty; download it again")
    if not file.name.lower().endswith(".zip"):
        return [Packed(name=file.name, file=file)]
    with _as_input_error(file), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise InputError(f"{file}: {len(members)} members, more than {MAX_MEMBERS}; unpack it yourself")
    wanted = [index for index, member in enumerate(members) if _is_inner_csv(member.filename)]
    if not wanted:
        raise InputError(f"{file}: no CSV in it; it holds {', '.join(m.filename for m in members[:5]) or 'nothing'}")
    # What members say of their size is all that zipfile ever gives, so it can be trusted as a limit.
    if sum(members[index].file_size for index in wanted) > _limit_bytes(file):
        raise _make_bomb_error(file)
    names = [file.name if len(wanted) == 1 else f"{file.name}:{members[index].filename}" for index in wanted]
    return [Packed(name=name, file=file, member=index) for name, index in zip(names, wanted, strict=True)]


def _is_inner_csv(name: str) -> bool:
    """Return whether a member of a zip is a table, by its name; macOS adds files that are none."""
    parts = name.split("/")
    return name.lower().endswith((".csv", ".txt")) and "__MACOSX" not in parts and not parts[-1].startswith(".")


@contextmanager
def open_text(packed: Packed) -> Iterator["Unpacked"]:
    """Open the text of a table as a stream of bytes.

    A damaged file and a bomb raise `InputError` where they are read.
    """
    file, is_gzip = packed.file, packed.file.name.lower().endswith(".gz")
    with ExitStack() as opened:
        if packed.member is not None:
            with _as_input_error(file):
                archive = opened.enter_context(zipfile.ZipFile(file))
                stream = opened.enter_context(archive.open(archive.infolist()[packed.member]))
        else:
            stream = opened.enter_context((gzip.open if is_gzip else open)(file, "rb"))
        yield Unpacked(file, stream, is_packed=is_gzip or packed.member is not None)


class Unpacked:
    """A stream that stops at what one file may unpack to, whatever the file says of its own size."""

    def __init__(self, file: Path, stream: IO[bytes], *, is_packed: bool) -> None:
        self._file, self._stream = file, stream
        self._left = _limit_bytes(file) if is_packed else None

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        with _as_input_error(self._file):
            chunk = self._stream.read(size)
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise _make_bomb_error(self._file)
        return chunk


def _limit_bytes(file: Path) -> int:
    """Return the most bytes that a file may unpack to."""
    return min(MAX_BYTES, max(MAX_RATIO * file.stat().st_size, FREE_BYTES))


def _make_bomb_error(file: Path) -> InputError:
    """Return the error for a file that unpacks to too much."""
    return InputError(
        f"{file}: unpacks to more than {_limit_bytes(file):,} bytes ({MAX_RATIO} times its size, or 20 GB); that looks "
        "like a zip bomb; if you trust it, unpack it yourself"
    )


@contextmanager
def _as_input_error(file: Path) -> Iterator[None]:
    """Turn whatever the unpackers raise on a damaged file into one line for the user."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise InputError(f"{file}: cut off or damaged ({error}); download it again") from None
    except RuntimeError as error:  # what zipfile raises for a password
        raise InputError(f"{file}: cannot be unpacked ({error}); unpack it yourself and give the CSV") from None


# ---- line by line


def unpack_table(packed: Packed, folder: Path) -> Table:
    """Unpack one table and check it line by line; text goes to `folder`, Parquet stays where it is.

    Raises
    ------
    InputError
        The file is empty, is cut off or damaged, or unpacks to more than the limits.
    """
    if packed.is_parquet:
        return Table(name=packed.name, path=packed.file, parquet=True)
    with open_text(packed) as stream:
        return _copy_text(iter(lambda: stream.read(CHUNK_BYTES), b""), packed.name, folder)


def _copy_text(chunks: Iterator[bytes], name: str, folder: Path) -> Table:
    """Write checked lines to a file in `folder` and describe them."""
    # The first piece has the header; the rest of it goes before the other pieces.
    pieces = _cut_at_lines(chunks)
    text, crlf, rest = cut_header(next(pieces, b""))
    if not text:
        raise InputError(f"{name}: the file is empty; download it again")
    delimiter = find_delimiter(text).encode()
    counts = {"lines": 0, "blank": 0, "unreadable": 0}
    sample = ""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".csv", delete=False) as out:
        for piece in chain([rest], pieces):
            checked = _check_lines(piece, counts, delimiter)
            sample = sample or checked[:SAMPLE_BYTES].decode(errors="replace")
            out.write(checked)
    lines = tuple(sample.splitlines()[:SAMPLE_LINES])
    return Table(name=name, path=Path(out.name), header=text, crlf=crlf, sample=lines, **counts)


def cut_header(text: bytes) -> tuple[str, bool, bytes]:
    """Return the first line of a text, whether lines end as Windows ends them, and the rest of the text."""
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    header, _, rest = text.partition(b"\n")
    return _decode(header).strip(), b"\r\n" in text, rest


def _cut_at_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut a text into pieces that end with a line's end; the last line gets one."""
    carried = b""
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield carried + chunk[:cut]
            carried = chunk[cut:]
        else:
            carried += chunk
    if carried:
        yield carried + b"\n"


def _check_lines(piece: bytes, counts: dict[str, int], delimiter: bytes) -> bytes:
    """Return a piece in UTF-8 without blank lines and lines whose quotes go wrong; add these to `counts`.

    One line is one row, since no publisher writes line breaks inside a value. A quote left open would swallow the rest
    of the file, and one that closes too early the next line. A carriage return makes a line unreadable too.
    """
    # Most pieces show by a quick look that nothing is wrong with them. Only others are taken apart.
    piece = piece.replace(b"\r\n", b"\n")
    if b"\n\n" in piece or piece.startswith(b"\n") or b"\r" in piece or _has_odd_quotes(piece, delimiter):
        # A cell is quoted as a whole, or free of quotes and delimiters.
        lines = piece.split(b"\n")[:-1]
        full = [line for line in lines if line]
        cell = rb'(?:"(?:[^"\r]|"")*"|[^"\r%s]*)' % delimiter
        sound = re.compile(rb"%s(?:%s%s)*" % (cell, delimiter, cell))
        good = [line for line in full if (b'"' not in line and b"\r" not in line) or sound.fullmatch(line)]
        counts["blank"] += len(lines) - len(full)
        counts["unreadable"] += len(full) - len(good)
        piece = b"".join(line + b"\n" for line in good)
    counts["lines"] += piece.count(b"\n")
    return piece if _is_utf8(piece) else _decode(piece).encode()


def _has_odd_quotes(piece: bytes, delimiter: bytes) -> bool:
    """Return whether quotes may stand elsewhere than at both ends of cells; there are false alarms.

    The piece ends with a line's end.
    """
    text = np.frombuffer(piece, np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    if len(quotes) == 0:
        return False
    # Every quote should touch one border of cells, and an even number should stand before each line's end.
    borders = [*delimiter, ord("\n")]
    opening, closing = np.isin(text[quotes - 1], borders), np.isin(text[quotes + 1], borders)
    before_line_end = np.searchsorted(quotes, np.flatnonzero(text == ord("\n")))
    return int(opening.sum() + closing.sum()) != len(quotes) or bool((before_line_end % 2).any())


def _decode(data: bytes) -> str:
    """Decode UTF-8, or what Windows wrote instead."""
    return data.decode() if _is_utf8(data) else data.decode("cp1252", errors="replace")


def _is_utf8(data: bytes) -> bool:
    """Return whether bytes are text in UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
