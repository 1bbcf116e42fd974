"""Ways to spoil a file of tensors, each with the reason for which it must be refused."""

import json
import os
import pickle
from hashlib import sha256
from pathlib import Path

import torch

from pgan.tensor_files import manifest_path


def seal_again(path: Path) -> None:
    """A manifest that fits what is there: whoever can write a file can write its manifest too."""
    data = path.read_bytes()
    manifest_path(path).write_text(json.dumps({"bytes": len(data), "sha256": sha256(data).hexdigest()}))


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def plant_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(path.parent / "executed"), protocol=2))
    seal_again(path)


def plant_torch_file(path: Path) -> None:
    torch.save({"version": 2, "generator": Malicious(path.parent / "executed")}, path)
    seal_again(path)


def plant_other_networks(path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    saved["generator"] = {name: weight[:1] for name, weight in saved["generator"].items()}
    torch.save(saved, path)
    seal_again(path)


def plant_other_version(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"version": 1}, path)
    seal_again(path)


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), "0 bytes, its manifest says"),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size // 2), "cut short"),
    "flipped bit": (flip_a_bit, "SHA-256 is not that of its manifest"),
    "wrong hash": (lambda path: seal_again_as(path, "0" * 64), "SHA-256 is not that of its manifest"),
    "no manifest": (lambda path: manifest_path(path).unlink(), "no manifest"),
    "broken manifest": (lambda path: manifest_path(path).write_text('{"by'), "no manifest, or none that can be read"),
    "not a torch file": (lambda path: (path.write_bytes(b"x" * 100), seal_again(path)), "not a file of this program"),
    "pickle": (plant_pickle, "not a file of this program"),
    "torch file with a pickle": (plant_torch_file, "not a file of this program"),
    "other networks": (plant_other_networks, "not a "),
    "other version": (plant_other_version, "version 1, this program reads 2"),
}


def seal_again_as(path: Path, digest: str) -> None:
    manifest_path(path).write_text(json.dumps({"bytes": path.stat().st_size, "sha256": digest}))
