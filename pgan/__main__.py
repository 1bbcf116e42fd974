"""`python -m pgan`: train, sample, judge."""

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from pgan.config import PRESETS, TrainConfig, resolve_config
from pgan.cpu import prepare_cpu
from rasterize.errors import exit_on_input_error

app = typer.Typer(
    help="A progressive GAN on image sets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# torchrun takes `--run` for a prefix of its own `--run-path` wherever it stands (argparse before Python 3.12.8)
RunOption = Annotated[
    Path, typer.Option("--run", "--run-folder", help="run folder; holds images/, model/, fakes/ and redrawn/")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
# small networks gain nothing from a second thread, and lose half their speed to it on a busy machine; a run is
# repeated bit for bit only with the same number, so it must not depend on how busy the machine happens to be
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads; more than 1 help wide networks on idle cores")]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FACTOR=VALUE[,FACTOR=VALUE][:COUNT]",
        help="exactly COUNT images with these labels, or all images; may be given several times; "
        "what it leaves open is drawn as in the training images",
    ),
]


def with_setting_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one flag per field of `TrainConfig`; those set reach it as the dict `changes`."""
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "changes"]
    flags = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[field.type | None, typer.Option(help=field.metadata["help"], show_default=False)],
        )
        for field in fields(TrainConfig)
    ]

    @wraps(command)
    def wrapper(**given: Any) -> None:
        changes = {flag.name: given.pop(flag.name) for flag in flags}
        command(**given, changes={name: value for name, value in changes.items() if value is not None})

    wrapper.__signature__ = inspect.Signature([*own, *flags])
    wrapper.__annotations__ = {p.name: p.annotation for p in (*own, *flags)}
    return wrapper


@app.command()
@with_setting_flags
def train(
    *,
    run: RunOption,
    preset: Annotated[str, typer.Option(help=f"settings to start from: {', '.join(PRESETS)}")] = "tiny",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print settings and sizes, write nothing")] = False,
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


@app.command()
def sample(
    *,
    run: RunOption,
    images: Annotated[int | None, typer.Option(help="how many; as many as were trained on by default")] = None,
    label: LabelOption = None,
    checkpoints: Annotated[
        int | None, typer.Option(help="share the images among the G_ema of so many of the newest checkpoints kept")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of latents and labels")] = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Generate RUN/fakes with the G_ema of a finished run."""
    prepare_cpu(threads)
    from pgan.run.setup import choose_device
    from pgan.sampling import sample

    options = {"labels": label or (), "checkpoints": checkpoints, "device": choose_device(device)}
    count = sample(run, count=images, seed=seed, **options)
    print(f"{run / 'fakes'}: {count} images")


@app.command("judge")
def judge(
    *,
    run: RunOption,
    jury: Annotated[int, typer.Option(help="Ds whose verdicts are averaged")] = 3,
    kimg: Annotated[float, typer.Option(help="thousands of reals that each learns from")] = 200.0,
    seed: Annotated[int, typer.Option(help="seed of the jury and of what it sees")] = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    workers: Annotated[int | None, typer.Option(help="processes that share the jury; this one alone without")] = None,
) -> None:
    """Let a jury of Ds judge RUN/redrawn, which `python -m decode` makes, for `python -m decode choose`."""
    prepare_cpu(threads)
    from pgan.jury import ask_jury
    from pgan.run.setup import choose_device

    found = ask_jury(run, jury=jury, kimg=kimg, seed=seed, device=choose_device(device), workers=workers)
    auc = sum(one.auc for one in found) / len(found)
    print(f"{run / 'redrawn'}: judged by {jury} Ds; they tell images they have not seen with an AUC of {auc:.3f}")


if __name__ == "__main__":
    exit_on_input_error(app)
