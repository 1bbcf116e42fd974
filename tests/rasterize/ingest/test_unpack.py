"""Unpacking: every packing gives the same lines, every lost line is counted, bombs and damage are refused."""

import gzip
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.ingest import unpack as unpacking
from rasterize.ingest.unpack import find_files, find_tables, unpack_table

TEXT = "a,b\n1,2\n3,4\n"


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip of some members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _unpack(file: Path, tmp_path: Path) -> list[unpacking.Table]:
    """Unpack all tables of a file."""
    folder = tmp_path / "unpacked"
    folder.mkdir(exist_ok=True)
    return [unpack_table(packed, folder) for packed in find_tables(file)]


def test_csv_gzip_and_zip_give_the_same_lines(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    _zip(tmp_path / "t.zip", {"t.csv": TEXT.encode()})
    for name in ("t.csv", "t.txt.gz", "t.zip"):
        (table,) = _unpack(tmp_path / name, tmp_path)
        assert (table.header, table.path.read_text(), table.lines) == ("a,b", "1,2\n3,4\n", 2)


def test_only_inner_csvs_of_a_zip_are_read(tmp_path):
    members = {"a.csv": TEXT, "__MACOSX/._a.csv": "x", "deep/b.CSV": TEXT, "._c.csv": "x", "readme.pdf": "x", "d/": ""}
    file = _zip(tmp_path / "t.zip", {name: text.encode() for name, text in members.items()})
    assert [table.name for table in _unpack(file, tmp_path)] == ["t.zip:a.csv", "t.zip:deep/b.CSV"]


def test_marks_line_ends_and_old_encodings_are_taken_care_of(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1,Montr\xc3\xa9al\r\n3,4")
    (table,) = _unpack(tmp_path / "t.csv", tmp_path)
    assert (table.header, table.crlf, table.path.read_text("utf-8")) == ("a,b", True, "1,Montréal\n3,4\n")
    (tmp_path / "w.csv").write_bytes(b"a,b\n1,Montr\xe9al\n")
    (table,) = _unpack(tmp_path / "w.csv", tmp_path)
    assert table.path.read_text("utf-8") == "1,Montréal\n"


LINES = st.lists(st.sampled_from(["1,2", "", "  ", '1,"2', '"x, y",2', "1,2,3", '"', ',"",']), max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from([1, 3, 7, 1 << 20]))
def test_every_line_is_kept_or_counted(tmp_path, monkeypatch, lines, end, ended, chunk):
    monkeypatch.setattr(unpacking, "CHUNK_BYTES", chunk)
    text = end.join(["a,b", *lines]) + (end if ended else "")
    (tmp_path / "t.csv").write_bytes(text.encode())
    (table,) = _unpack(tmp_path / "t.csv", tmp_path)
    good = [line for line in lines if line and not line.count('"') % 2]
    assert table.path.read_text().splitlines() == good
    assert table.lines == len(good)
    assert table.unreadable == sum(line.count('"') % 2 for line in lines)
    # without a line's end at the end of the file an empty last line is no line
    blank = lines.count("") - (not ended and bool(lines) and lines[-1] == "")
    assert table.blank == blank


def test_a_bomb_is_refused_whatever_it_says_of_its_size(tmp_path):
    file = _zip(tmp_path / "bomb.zip", {"t.csv": b"a,b\n" + b"1,2\n" * 5_000_000})
    data = bytearray(file.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):  # declared unpacked size, in both headers
        position = data.index(mark) + offset
        data[position : position + 4] = (2_000_000).to_bytes(4, "little")
    lying = tmp_path / "lying.zip"
    lying.write_bytes(data)
    with pytest.raises(InputError, match=r"bomb.zip: unpacks to more than .*bomb.*unpack it yourself"):
        _unpack(file, tmp_path)
    # zipfile stops at the size the member claims, and finds that its checksum is wrong.
    with pytest.raises(InputError, match=r"lying.zip: (unpacks to more than|cut off or damaged)"):
        _unpack(lying, tmp_path)
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 5_000_000)
    (tmp_path / "t.csv.gz").write_bytes(packed)
    with pytest.raises(InputError, match="bomb"):
        _unpack(tmp_path / "t.csv.gz", tmp_path)


def test_the_limit_counts_all_members_together(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_BYTES", 0)
    monkeypatch.setattr(unpacking, "MAX_BYTES", 30)
    file = _zip(tmp_path / "t.zip", {f"{i}.csv": TEXT.encode() for i in range(3)})
    with pytest.raises(InputError, match="unpacks to more than 30 bytes"):
        _unpack(file, tmp_path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 2)
    file = _zip(tmp_path / "t.zip", {f"{i}.csv": b"a\n1\n" for i in range(3)})
    with pytest.raises(InputError, match="3 members, more than 2"):
        _unpack(file, tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path, share):
    text = "a,b\n" + "".join(f"{i},{i * i}\n" for i in range(20_000))
    whole = {
        "t.zip": _zip(tmp_path / "whole.zip", {"t.csv": text.encode()}).read_bytes(),
        "t.csv.gz": gzip.compress(text.encode()),
    }
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match=rf"{name}: cut off or damaged .*download it again"):
            _unpack(tmp_path / name, tmp_path)


def test_empty_files_and_zips_without_csv_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"")
    (tmp_path / "blank.csv").write_bytes(b"\n\n")
    _zip(tmp_path / "t.zip", {"readme.txt.pdf": b"x"})
    for name, message in (
        ("t.csv", "the file is empty"),
        ("blank.csv", "the file is empty"),
        ("t.zip", "no CSV in it"),
    ):
        with pytest.raises(InputError, match=message):
            _unpack(tmp_path / name, tmp_path)


def test_files_globs_and_folders_are_found_once_and_in_order(tmp_path):
    for name in ("b.csv", "a.csv", "c.parquet", "note.md", ".hidden.csv"):
        (tmp_path / name).write_text(TEXT)
    names = ["a.csv", "b.csv", "c.parquet"]
    assert [file.name for file in find_files([tmp_path])] == names
    assert [file.name for file in find_files([tmp_path / "*"])] == names
    assert [file.name for file in find_files([tmp_path / "b.csv", str(tmp_path / "?.csv")])] == ["b.csv", "a.csv"]
    for path, message in ((tmp_path / "z.csv", "no such file"), (tmp_path / "z*", "no such file")):
        with pytest.raises(InputError, match=message):
            find_files([path])
    with pytest.raises(InputError, match="not a trip file by its name"):
        find_files([tmp_path / "note.md"])
