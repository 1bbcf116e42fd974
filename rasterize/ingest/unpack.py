"""Trip files of any packing → a stream of text, or plain text on disk with every line checked; bombs are refused."""

import gzip
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rasterize.errors import InputError
from rasterize.formats.csv_text import find_delimiter

MAX_MEMBERS = 10_000  # of one zip
MAX_BYTES = 20_000_000_000  # unpacked, of one file
MAX_RATIO = 200  # unpacked to packed
FREE_BYTES = 1_000_000  # below this no ratio is suspicious: a small file of equal rows packs very well
CHUNK_BYTES = 1 << 20
SAMPLE_LINES = 500  # what the look of a file is judged by
SAMPLE_BYTES = 1 << 18
SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".zip", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of trips on disk, ready for DuckDB.

    A text table has no header line, no blank lines, and "\n" at line ends; `lines` counts what is left, `blank` and
    `unreadable` what was taken out.
    """

    name: str  # the user's file, and the member of a zip
    path: Path
    parquet: bool = False
    header: str = ""
    crlf: bool = False
    sample: tuple[str, ...] = ()  # the first lines, as they are
    lines: int = 0
    blank: int = 0
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One table of trips as the user has it: a file, or a member of a zip."""

    name: str  # the user's file, and the member where a zip has several
    file: Path
    member: int | None = None  # its place in the zip

    @property
    def is_parquet(self) -> bool:
        """Whether the file holds no text."""
        return self.file.name.lower().endswith(".parquet")


def find_files(paths: Sequence[str | Path]) -> list[Path]:
    """Files, globs and folders → the files of trips in them, in order of name, each once.

    Raises
    ------
    InputError
        A path that does not exist, or holds no trip file; a file of another type.
    """
    found: dict[Path, None] = {}
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
        found |= dict.fromkeys(files)
    for file in found:
        if not file.name.lower().endswith(SUFFIXES):
            raise InputError(f"{file}: not a trip file by its name; trips come as {', '.join(SUFFIXES)}")
    return list(found)


def _is_trip_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(SUFFIXES)


def find_tables(file: Path) -> list[Packed]:
    """The tables of one file: itself, or the CSVs in a zip.

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
    wanted = [place for place, member in enumerate(members) if _is_inner_csv(member.filename)]
    if not wanted:
        raise InputError(f"{file}: no CSV in it; it holds {', '.join(m.filename for m in members[:5]) or 'nothing'}")
    if sum(members[place].file_size for place in wanted) > _most_bytes(file):  # zipfile never gives more than this
        raise _bomb(file)
    names = [file.name if len(wanted) == 1 else f"{file.name}:{members[place].filename}" for place in wanted]
    return [Packed(name=name, file=file, member=place) for name, place in zip(names, wanted, strict=True)]


def _is_inner_csv(name: str) -> bool:
    parts = name.split("/")
    return name.lower().endswith((".csv", ".txt")) and "__MACOSX" not in parts and not parts[-1].startswith(".")


@contextmanager
def open_text(packed: Packed) -> Iterator["Unpacked"]:
    """The text of a table as a stream of bytes; a damaged file and a bomb raise `InputError` where it is read."""
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
        self._left = _most_bytes(file) if is_packed else None

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        with _as_input_error(self._file):
            chunk = self._stream.read(size)
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise _bomb(self._file)
        return chunk


def _most_bytes(file: Path) -> int:
    return min(MAX_BYTES, max(MAX_RATIO * file.stat().st_size, FREE_BYTES))


def _bomb(file: Path) -> InputError:
    return InputError(
        f"{file}: unpacks to more than {_most_bytes(file):,} bytes ({MAX_RATIO} times its size, or 20 GB); that looks "
        "like a zip bomb; if you trust it, unpack it yourself"
    )


@contextmanager
def _as_input_error(file: Path) -> Iterator[None]:
    """Whatever the unpackers raise on a damaged file becomes one line for the user."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise InputError(f"{file}: cut off or damaged ({error}); download it again") from None
    except RuntimeError as error:  # what zipfile raises for a password
        raise InputError(f"{file}: cannot be unpacked ({error}); unpack it yourself and give the CSV") from None


# ---- the careful way: line by line


def unpack(file: Path, folder: Path) -> Iterator[Table]:
    """The tables of one file, one after the other; text goes to `folder`, which the caller removes.

    Raises
    ------
    InputError
        The file is empty, has only a header, is cut off or damaged, or unpacks to more than the limits.
    """
    for packed in find_tables(file):
        yield unpack_table(packed, folder)


def unpack_table(packed: Packed, folder: Path) -> Table:
    """One table, line by line checked; text goes to `folder`, Parquet stays where it is."""
    if packed.is_parquet:
        return Table(name=packed.name, path=packed.file, parquet=True)
    with open_text(packed) as stream:
        return _copy_text(iter(lambda: stream.read(CHUNK_BYTES), b""), packed.name, folder)


def _copy_text(chunks: Iterator[bytes], name: str, folder: Path) -> Table:
    """Write checked lines to a file in `folder` and describe them."""
    pieces = _whole_lines(chunks)
    text, crlf, rest = cut_header(next(pieces, b""))
    if not text:
        raise InputError(f"{name}: the file is empty; download it again")
    delimiter = find_delimiter(text).encode()
    counts = {"lines": 0, "blank": 0, "unreadable": 0}
    sample = ""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".csv", delete=False) as out:
        for piece in _chain(rest, pieces):
            checked = _check_lines(piece, counts, delimiter)
            sample = sample or checked[:SAMPLE_BYTES].decode(errors="replace")
            out.write(checked)
    lines = tuple(sample.splitlines()[:SAMPLE_LINES])
    return Table(name=name, path=Path(out.name), header=text, crlf=crlf, sample=lines, **counts)


def cut_header(text: bytes) -> tuple[str, bool, bytes]:
    """The first line of a text, whether its lines end as Windows ends them, and the rest of the text."""
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    header, _, rest = text.partition(b"\n")
    return _readable(header).strip(), b"\r\n" in text, rest


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces that end with a line's end; the last line gets one."""
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
    """The piece without blank lines and lines whose quotes go wrong, in UTF-8; adds to `counts`.

    One line is one row: no publisher writes line breaks inside a value, and a quote left open would swallow the rest
    of the file, one that closes too early the next line. A carriage return within a line makes it unreadable too.
    """
    piece = piece.replace(b"\r\n", b"\n")
    if b"\n\n" in piece or piece.startswith(b"\n") or b"\r" in piece or _has_odd_quotes(piece, delimiter):
        lines = piece.split(b"\n")[:-1]
        full = [line for line in lines if line]
        cell = rb'(?:"(?:[^"\r]|"")*"|[^"\r%s]*)' % delimiter
        sound = re.compile(rb"%s(?:%s%s)*" % (cell, delimiter, cell))
        good = [line for line in full if (b'"' not in line and b"\r" not in line) or sound.fullmatch(line)]
        counts["blank"] += len(lines) - len(full)
        counts["unreadable"] += len(full) - len(good)
        piece = b"".join(line + b"\n" for line in good)
    counts["lines"] += piece.count(b"\n")
    return piece if _is_utf8(piece) else _readable(piece).encode()


def _has_odd_quotes(piece: bytes, delimiter: bytes) -> bool:
    """Whether quotes may stand elsewhere than at both ends of cells; a quick look that may raise a false alarm.

    The piece ends with a line's end.
    """
    text = np.frombuffer(piece, np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    if len(quotes) == 0:
        return False
    borders = [*delimiter, ord("\n")]
    opening, closing = np.isin(text[quotes - 1], borders), np.isin(text[quotes + 1], borders)
    before_line_end = np.searchsorted(quotes, np.flatnonzero(text == ord("\n")))
    return int(opening.sum() + closing.sum()) != len(quotes) or bool((before_line_end % 2).any())


def _readable(data: bytes) -> str:
    """Text in UTF-8, or in what Windows wrote instead."""
    return data.decode() if _is_utf8(data) else data.decode("cp1252", errors="replace")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# ---- one line of CSV
