"""run.json: all it takes to repeat a run; another run is refused, a damaged record is written anew."""

import json
import platform
import subprocess
from dataclasses import replace
from hashlib import sha256

import pytest
import torch

from pgan.run.loop import train
from rasterize.errors import InputError
from tests.pgan_runs import (
    CPU,
    ROOT,
    SHORT,
    SMALL,
    copy_run,
    make_run,
)


def test_run_json_has_all_it_takes_to_repeat_a_run_and_other_bytes_of_images_are_another_run(tmp_path):
    run = make_run(tmp_path)
    brief = {"first_kimg": 0.0, "fade_kimg": 0.0, "last_kimg": 0.01}
    config = type(SMALL)(**SMALL.to_json() | brief)
    train(run, config, device=CPU)
    record = json.loads((run / "model" / "run.json").read_text())
    assert record["config"] == config.to_json() and record["seed"] == config.seed
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["torch"] == torch.__version__
    assert {"pgan-trips", "numpy", "torchvision"} <= record["versions"].keys()
    assert (record["device"], record["workers"]) == ("cpu", 1)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (record["git_commit"] or "").removesuffix("-dirty") == head.stdout.strip()
    images = run / "images" / "images.npy"
    assert record["image_set"]["sha256"]["images.npy"] == sha256(images.read_bytes()).hexdigest()
    data = bytearray(images.read_bytes())
    data[-1] ^= 1  # shape, labels and spec stay the same
    images.write_bytes(data)
    with pytest.raises(InputError, match="holds another run: image set sha256 is another;"):
        train(run, config, device=CPU)


def test_another_config_or_image_set_is_refused_by_name(tmp_path):
    run = make_run(tmp_path)
    train(run, replace(SMALL, last_kimg=0.01, fade_kimg=0.0, first_kimg=0.0), device=CPU)
    with pytest.raises(InputError, match=r"fade_kimg was 0.0, now 0.2;.*remove"):
        train(run, SMALL, device=CPU)
    make_run(tmp_path, count=65)
    with pytest.raises(InputError, match=r"image set fingerprint is another; image set images was 64, now 65"):
        train(run, replace(SMALL, last_kimg=0.01, fade_kimg=0.0, first_kimg=0.0), device=CPU)


def test_a_damaged_run_json_is_written_anew(finished, tmp_path):
    run = copy_run(finished, tmp_path)
    path = run / "model" / "run.json"
    before = json.loads(path.read_text())
    path.write_text('{"config": ')
    (run / "model" / "snapshot.pt").unlink()
    assert train(run, SHORT, device=CPU)
    after = json.loads(path.read_text())
    assert after["config"] == before["config"] and after["scales"] == before["scales"]
