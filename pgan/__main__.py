"""`python -m pgan`: train, sample, judge."""

import json
from typing import Annotated, Any

import typer

from pgan.config import JURY, JURY_KIMG, PRESETS, USUAL_PRESET, TrainConfig, resolve_config
from pgan.cpu import prepare_cpu
from rasterize.errors import exit_on_input_error
from rasterize.flags import DEFAULT_RUN, RunOption, SeedOption, VersionOption, WorkersOption, with_setting_flags

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
# Small networks gain nothing from a second thread. On a busy machine they lose half their speed to it. A run is
# repeated bit for bit only with the same number on the same machine. So it must not depend on how busy the machine is.
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads; more than 1 help wide networks on idle cores.")]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FACTOR=VALUE[,FACTOR=VALUE][:COUNT]",
        help="Exactly COUNT images with these labels, or all images; repeat. "
        "What it leaves open is drawn as in the training images.",
    ),
]


@app.callback()
def _main(version: VersionOption = False) -> None:
    """Train a progressive GAN on image sets, and make images with it."""


@app.command("train")
@with_setting_flags(TrainConfig, show_defaults=False)
def _train(
    *,
    run: RunOption = DEFAULT_RUN,
    preset: Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = USUAL_PRESET,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print settings and sizes, write nothing.")] = False,
    changes: dict[str, Any],
) -> None:
    """Train on RUN/images into RUN/model; an unfinished run goes on by itself."""
    config = resolve_config(preset, changes)
    prepare_cpu(threads)
    from pgan.run.dry_run import describe_dry_run
    from pgan.run.loop import train
    from pgan.run.setup import choose_device

    if dry_run:
        print(json.dumps(describe_dry_run(run, config), indent=1))
    elif not train(run, config, device=choose_device(device)):
        raise typer.Exit(130)


@app.command("sample")
def _sample(
    *,
    run: RunOption = DEFAULT_RUN,
    images: Annotated[int | None, typer.Option(help="How many; as many as were trained on by default.")] = None,
    label: LabelOption = None,
    checkpoints: Annotated[
        int | None, typer.Option(help="Share the images among the generators of so many of the newest checkpoints.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Generate RUN/fakes with the generator of a finished run."""
    prepare_cpu(threads)
    from pgan.run.setup import choose_device
    from pgan.sampling import sample

    options = {"labels": label or (), "checkpoints": checkpoints, "device": choose_device(device)}
    count = sample(run, count=images, seed=seed, **options)
    print(f"{run / 'fakes'}: {count} images")


@app.command("judge")
def _judge(
    *,
    run: RunOption = DEFAULT_RUN,
    jury: Annotated[int, typer.Option(help="Discriminators whose verdicts are averaged.")] = JURY,
    kimg: Annotated[float, typer.Option(help="Thousands of reals that each learns from.")] = JURY_KIMG,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    workers: WorkersOption = None,
) -> None:
    """Let a jury of discriminators judge RUN/redrawn, which `python -m decode` makes, for `python -m decode choose`."""
    prepare_cpu(threads)
    from pgan.jury import ask_jury
    from pgan.run.setup import choose_device

    scores = ask_jury(run, jury=jury, kimg=kimg, seed=seed, device=choose_device(device), workers=workers)
    auc = sum(score.auc for score in scores) / len(scores)
    print(f"{run / 'redrawn'}: discriminators that judged: {jury}; mean AUC on images they have not seen: {auc:.3f}")


if __name__ == "__main__":
    exit_on_input_error(app)
