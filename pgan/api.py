"""The public names of `pgan`: train on an image set, and make images with the result."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from pgan.config import JURY, JURY_KIMG, USUAL_PRESET, resolve_config
from pgan.cpu import prepare_cpu
from rasterize.errors import InputError
from rasterize.imageset import ImageSet


class Model:
    """A trained generator: a light handle on RUN/model.

    Attributes
    ----------
    run : Path
        The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.run = Path(run)

    @property
    def folder(self) -> Path:
        """Where checkpoints, pictures and the snapshot lie."""
        return self.run / "model"

    @property
    def is_finished(self) -> bool:
        """Whether training has come to its end."""
        return (self.folder / "snapshot.pt").exists()

    @property
    def progress(self) -> pd.DataFrame:
        """What was written down while training, a row per thousand images: losses, speed, diversity."""
        path = self.folder / "stats.jsonl"
        if not path.exists():
            raise InputError(f"{path}: is not there: nothing has been trained; use pgan.train")
        return pd.read_json(path, lines=True)

    @property
    def timelapse(self) -> Path:
        """The animated GIF of the same latents while the generator learns."""
        return self.folder / "timelapse.gif"

    def sample(
        self,
        count: int | None = None,
        *,
        labels: Mapping[str, str] | str | list[str] | None = None,
        checkpoints: int | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> ImageSet:
        """Generate images into RUN/fakes.

        A run folder has one set of generated images: the next call replaces it. Decode before you sample again.

        Parameters
        ----------
        count : int, optional
            How many; by default as many as were trained on.
        labels : mapping, str or list of str, optional
            Wanted labels: ``{"user_type": "Customer"}`` for all images, or texts FACTOR=VALUE[,FACTOR=VALUE][:COUNT].
            What is left open is drawn as in the training images.
        checkpoints : int, optional
            Share the images among the generators of so many of the newest checkpoints.
        seed : int
            Seed of latents and labels.
        device : str
            "auto", "cpu", "cuda", "cuda:1", ...

        Returns
        -------
        ImageSet

        Raises
        ------
        InputError
            Training has not finished, or labels that no training image has.
        """
        prepare_cpu(1)
        from pgan.run.setup import choose_device
        from pgan.sampling import sample

        asked = _as_requests(labels)
        sample(self.run, count=count, seed=seed, device=choose_device(device), labels=asked, checkpoints=checkpoints)
        return ImageSet.open(self.run / "fakes")

    def judge(self, *, jury: int = JURY, kimg: float = JURY_KIMG, seed: int = 0, device: str = "auto") -> float:
        """Let a jury of fresh discriminators judge what was read back from the generated images.

        Parameters
        ----------
        jury : int
            Discriminators whose verdicts are averaged.
        kimg : float
            Thousands of reals that each learns from.
        seed : int
            Seed of the jury and of what it sees.
        device : str
            As for `sample`.

        Returns
        -------
        float
            How well the jury tells images it has not seen: the mean AUC, .5 is guessing.
        """
        prepare_cpu(1)
        from pgan.jury import ask_jury
        from pgan.run.setup import choose_device

        scores = ask_jury(self.run, jury=jury, kimg=kimg, seed=seed, device=choose_device(device))
        return sum(score.auc for score in scores) / len(scores)

    def __repr__(self) -> str:
        if not self.is_finished:
            return f"Model({str(self.run)!r}, unfinished)"
        return f"Model({str(self.run)!r}, {self.progress['nimg'].iloc[-1] / 1000:.1f} kimg)"

    def _repr_html_(self) -> str:
        """Show the handle, and in a notebook the timelapse."""
        picture = ""
        if self.timelapse.exists():
            from base64 import b64encode

            code = b64encode(self.timelapse.read_bytes()).decode("ascii")
            picture = f'<br><img alt="Generated images while the generator learns" src="data:image/gif;base64,{code}">'
        return f"<code>{escape(repr(self))}</code>{picture}"


def train(
    images: ImageSet,
    *,
    preset: str = USUAL_PRESET,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    threads: int = 1,
) -> Model:
    """Train a generator on an image set, going on where an earlier call stopped.

    Parameters
    ----------
    images : ImageSet
        RUN/images of a run folder; the model goes to RUN/model.
    preset : str
        Settings to start from: "tiny" (minutes on a CPU), "default" or "paper".
    settings : mapping, optional
        Settings of `python -m pgan train --help` by name, such as ``{"last_kimg": 240}``.
    device : str
        "auto", "cpu", "cuda", "cuda:1", ...
    threads : int
        CPU threads. A run is repeated bit for bit only with the same number, on the same machine.

    Returns
    -------
    Model
        Unfinished if training was interrupted; the same call then goes on.

    Raises
    ------
    InputError
        Images that cannot be trained on, a setting that cannot be, or a folder that holds another run.
    """
    if not isinstance(images, ImageSet):
        raise InputError(f"images: expected an ImageSet, not {type(images).__name__}; see rasterize.open_images")
    config = resolve_config(preset, dict(settings or {}))
    prepare_cpu(threads)
    from pgan.run.loop import train as train_run
    from pgan.run.setup import choose_device

    run = images.folder.parent
    train_run(run, config, device=choose_device(device))
    return Model(run)


def open_model(run: str | Path) -> Model:
    """Open the model of a run folder.

    Parameters
    ----------
    run : path
        The run folder.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        Nothing was trained there.
    """
    if not (Path(run) / "model").is_dir():
        raise InputError(f"{run}: no model in it; use pgan.train on its images first")
    return Model(Path(run))


def _as_requests(labels: Mapping[str, str] | str | list[str] | None) -> list[str]:
    """Return the label requests as texts, see `LabelRequest.read`."""
    if labels is None:
        return []
    if isinstance(labels, Mapping):
        return [",".join(f"{name}={value}" for name, value in labels.items())]
    return [labels] if isinstance(labels, str) else list(labels)
