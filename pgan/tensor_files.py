"""Files of tensors that are whole or refused: written atomically, a SHA-256 beside them, read without pickle."""

import errno
import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from rasterize.errors import InputError
from rasterize.files import write_atomically, write_json

VERSION = 2
# What torch.load raises on files that are foreign or malicious though their SHA-256 is right.
FOREIGN = (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError)
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


def manifest_path(path: Path) -> Path:
    """Return the file beside `path` that holds its SHA-256."""
    return path.with_suffix(".json")


def to_bytes(content: Mapping[str, Any]) -> tuple[bytes, str]:
    """Turn tensors and plain numbers into bytes; return them with their SHA-256."""
    buffer = BytesIO()
    torch.save({**content, "version": VERSION}, buffer)
    data = buffer.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def from_bytes(data: bytes, *, device: torch.device) -> dict[str, Any]:
    """Bring back on `device` what `to_bytes` was given; nothing is executed."""
    return torch.load(BytesIO(data), map_location=device, weights_only=True)


def write_tensors(path: Path, data: bytes, *, sha256: str) -> None:
    """Write `path` and, before it appears, its manifest; a kill leaves the file whole or absent.

    Parameters
    ----------
    path : Path
        The file to write.
    data : bytes
        Its content, of `to_bytes`.
    sha256 : str
        The SHA-256 of `data`, in hex.
    """
    with write_atomically(path) as temporary:
        temporary.write_bytes(data)
        write_json(manifest_path(path), {"file": path.name, "bytes": len(data), "sha256": sha256})


def read_tensors(path: Path, *, device: torch.device) -> dict[str, Any]:
    """Read on `device` what `to_bytes` was given.

    Nothing in the file is executed (`weights_only`). Raises `InputError` with the reason if the file is not exactly
    what its manifest says. It does so, too, if the file is not ours, or is of another version.
    """
    # Whole, as its manifest says.
    try:
        manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"))
        size, sha256 = manifest["bytes"], manifest["sha256"]
        data = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no manifest, or none that can be read ({error!r})") from error
    if len(data) != size:
        raise InputError(f"{path}: {len(data)} bytes, its manifest says {size}: cut short, or not this file")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path}: SHA-256 is not that of its manifest: damaged or changed")
    # Ours, and of a version that this program reads.
    try:
        content = from_bytes(data, device=device)
        version = content["version"]
    except FOREIGN as error:
        raise InputError(f"{path}: not a file of this program ({first_line(error)})") from error
    if version != VERSION:
        raise InputError(f"{path}: version {version}, this program reads {VERSION}")
    return content


def first_line(error: Exception) -> str:
    """Return the first line of a message, or the name of an error without one."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk or a folder closed for writing into an `InputError`; what was there before stays."""
    try:
        yield
    except OSError as error:
        path = error.filename or folder
        if error.errno in FULL:
            raise InputError(
                f"{path}: cannot be written: {error.strerror}; free some space, then the same command goes on from "
                "the last checkpoint"
            ) from error
        if error.errno in CLOSED:
            raise InputError(
                f"{path}: cannot be written: {error.strerror}; make {folder} writable, or give another --run"
            ) from error
        raise
