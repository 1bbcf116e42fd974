"""Trip files of any packing → plain text on disk, line by line checked, or Parquet as it is; bombs are refused."""

import gzip
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rasterize.errors import InputError

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


def unpack(file: Path, folder: Path) -> Iterator[Table]:
    """The tables of one file, one after the other; text goes to `folder`, which the caller removes.

    Raises
    ------
    InputError
        The file is empty, has only a header, is cut off or damaged, or unpacks to more than the limits.
    """
    if file.stat().st_size == 0:
        raise InputError(f"{file}: the file is empty; download it again")
    with _as_input_error(file):
        if file.name.lower().endswith(".parquet"):
            yield Table(name=file.name, path=file, parquet=True)
        elif file.name.lower().endswith(".zip"):
            yield from _unpack_zip(file, folder)
        else:
            packed = file.name.lower().endswith(".gz")
            with gzip.open(file, "rb") if packed else file.open("rb") as stream:
                yield _copy_text(_Budget(file, packed=packed).chunks(stream), file.name, folder)


@contextmanager
def _as_input_error(file: Path) -> Iterator[None]:
    """Whatever the unpackers raise on a damaged file becomes one line for the user."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise InputError(f"{file}: cut off or damaged ({error}); download it again") from None
    except RuntimeError as error:  # what zipfile raises for a password
        raise InputError(f"{file}: cannot be unpacked ({error}); unpack it yourself and give the CSV") from None


def _unpack_zip(file: Path, folder: Path) -> Iterator[Table]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise InputError(f"{file}: {len(members)} members, more than {MAX_MEMBERS}; unpack it yourself")
        wanted = [member for member in members if _is_inner_csv(member.filename)]
        if not wanted:
            raise InputError(
                f"{file}: no CSV in it; it holds {', '.join(m.filename for m in members[:5]) or 'nothing'}"
            )
        budget = _Budget(file, packed=True)
        for member in wanted:
            name = file.name if len(wanted) == 1 else f"{file.name}:{member.filename}"
            with archive.open(member) as stream:
                yield _copy_text(budget.chunks(stream), name, folder)


def _is_inner_csv(name: str) -> bool:
    parts = name.split("/")
    return name.lower().endswith((".csv", ".txt")) and "__MACOSX" not in parts and not parts[-1].startswith(".")


class _Budget:
    """Counts what comes out of one packed file; what a zip says of its own sizes is not believed."""

    def __init__(self, file: Path, *, packed: bool) -> None:
        self.file = file
        self.used = 0
        ratio_bytes = max(MAX_RATIO * file.stat().st_size, FREE_BYTES)
        self.limit = min(MAX_BYTES, ratio_bytes) if packed else None

    def chunks(self, stream: IO[bytes]) -> Iterator[bytes]:
        """The stream in pieces, as long as the budget lasts."""
        while chunk := stream.read(CHUNK_BYTES):
            self.used += len(chunk)
            if self.limit is not None and self.used > self.limit:
                raise InputError(
                    f"{self.file}: unpacks to more than {self.limit:,} bytes ({MAX_RATIO} times its size, or 20 GB); "
                    "that looks like a zip bomb; if you trust it, unpack it yourself"
                )
            yield chunk


def _copy_text(chunks: Iterator[bytes], name: str, folder: Path) -> Table:
    """Write checked lines to a file in `folder` and describe them."""
    pieces = _whole_lines(chunks)
    first = next(pieces, b"").removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    crlf = b"\r\n" in first
    header, _, rest = first.partition(b"\n")
    text = _readable(header).strip()
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
    of the file, one that closes too early the next line.
    """
    piece = piece.replace(b"\r\n", b"\n")
    if b"\n\n" in piece or piece.startswith(b"\n") or _has_odd_quotes(piece, delimiter):
        lines = piece.split(b"\n")[:-1]
        full = [line for line in lines if line]
        cell = rb'(?:"(?:[^"]|"")*"|[^"%s]*)' % delimiter
        sound = re.compile(rb"%s(?:%s%s)*" % (cell, delimiter, cell))
        good = [line for line in full if b'"' not in line or sound.fullmatch(line)]
        counts["blank"] += len(lines) - len(full)
        counts["unreadable"] += len(full) - len(good)
        piece = b"".join(line + b"\n" for line in good)
    counts["lines"] += piece.count(b"\n")
    return piece if _is_utf8(piece) else _readable(piece).encode()


def _has_odd_quotes(piece: bytes, delimiter: bytes) -> bool:
    """Whether quotes may stand elsewhere than at both ends of cells; a quick look that may raise a false alarm."""
    if b'"' not in piece:
        return False
    opening = piece.count(delimiter + b'"') + piece.count(b'\n"') + piece.startswith(b'"')
    closing = piece.count(b'"' + delimiter) + piece.count(b'"\n')
    return opening + closing != piece.count(b'"') or any(line.count(b'"') & 1 for line in piece.split(b"\n"))


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


def split_line(line: str, delimiter: str) -> list[str]:
    """The cells of one line with their quotes, so that it shows which were quoted."""
    if '"' not in line:
        return line.split(delimiter)
    mark = re.escape(delimiter)
    return re.findall(rf'("(?:[^"]|"")*"|[^{mark}]*){mark}', line + delimiter)


def unquote(cell: str) -> str:
    """A cell without its quotes."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def find_delimiter(header: str) -> str:
    """What separates the columns: the most frequent of comma, semicolon and tab."""
    return max(",;\t", key=header.count)
