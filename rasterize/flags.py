"""Command-line flags made from the fields of options, so that each default and each help text stands once."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from functools import wraps
from importlib.metadata import version
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer

from rasterize.errors import InputError

READING, CLEANING, DRAWING, MACHINES = "Reading", "Cleaning", "Drawing", "Machines"  # panels of the help
NUMBERS = {int: "a whole number", float: "a number"}
Options = TypeVar("Options")

# torchrun takes `--run` for a prefix of its own `--run-path` wherever it stands (argparse before Python 3.12.8)
RunOption = Annotated[Path, typer.Option("--run", "--run-folder", help="Run folder: everything one run makes.")]
DEFAULT_RUN = Path("runs/default")
SeedOption = Annotated[int, typer.Option(help="Seed of everything that is drawn by chance.")]
WorkersOption = Annotated[
    int | None, typer.Option(help="Spread the work over so many processes.", rich_help_panel=MACHINES)
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Spread the work over a Dask cluster: its scheduler's HOST:PORT.", rich_help_panel=MACHINES),
]


def show_version(wanted: bool) -> None:
    """Print the version and stop, where it was asked for."""
    if wanted:
        typer.echo(f"pgan-trips {version('pgan-trips')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and stop.")
]


# ---- settings: fields of option classes that are flags too


def setting(
    default: Any,
    meaning: str,
    *,
    panel: str = "",
    flags: tuple[str, ...] = (),
    rare: bool = False,
    default_text: str = "",
) -> Any:
    """Declare a field of an options dataclass that users can set.

    Parameters
    ----------
    default : Any
        The value when nothing is said. A dict declares NAME=VALUE pairs.
    meaning : str
        The help text.
    panel : str
        Heading of the help under which the flag stands.
    flags : tuple of str
        Names of the flag, where they are not the field's name.
    rare : bool
        No flag of its own: `--set name=value` reaches it.
    default_text : str
        What the help shows as the default, where the value says too little.

    Returns
    -------
    dataclasses.Field
        To be assigned in the class body.
    """
    metadata = {"help": meaning, "panel": panel, "flags": flags, "rare": rare, "default_text": default_text}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def with_setting_flags(
    *classes: type, show_defaults: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag per setting of `classes`, and `--set`; it gets what was set as the dict `changes`.

    `show_defaults` is for classes whose defaults hold whatever else is set.
    """
    settings = {field.name: field for options in classes for field in fields(options) if field.metadata}
    flags = [_flag_of(field, show_defaults) for field in settings.values() if not field.metadata.get("rare", False)]
    rare = ", ".join(name for name, field in settings.items() if field.metadata.get("rare", False))
    more = inspect.Parameter(
        "more_settings",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            list[str] | None,
            typer.Option(
                "--set",
                metavar="NAME=VALUE",
                help="Any setting by its name; repeat." + (f" Only so: {rare}." if rare else ""),
                show_default=False,
            ),
        ],
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "changes"]

        @wraps(command)
        def wrapper(**given: Any) -> None:
            changes = read_settings(settings, given.pop("more_settings") or [])
            for flag in flags:
                value = given.pop(flag.name)
                if value is not None and value != []:
                    changes[flag.name] = _read_flag(settings[flag.name], value)
            command(**given, changes=changes)

        parameters = [*own, *flags, more]
        wrapper.__signature__ = inspect.Signature(parameters)
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorate


def make_options(options: type[Options], changes: Mapping[str, Any], **others: Any) -> Options:
    """Make an options object of what was set for it.

    Parameters
    ----------
    options : type
        The dataclass.
    changes : mapping
        Settings by name; those of other classes are passed over.
    **others
        Fields that are no settings, such as nested options.

    Returns
    -------
    Options
        Raises `InputError` where the values cannot be.
    """
    names = {field.name for field in fields(options)}
    return options(**{name: value for name, value in changes.items() if name in names}, **others)


def read_settings(settings: Mapping[str, Field], pairs: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE texts as values of the settings' types; raises `InputError` on what is not one."""
    changes = {}
    for name, text in parse_pairs("--set", pairs).items():
        if name not in settings:
            raise InputError(f"--set {name}={text}: no such setting; there are {', '.join(settings)}")
        changes[name] = _read_text(settings[name], text)
    return changes


def check_settings(classes: tuple[type, ...], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that Python code gave, each in its field's type.

    Parameters
    ----------
    classes : tuple of type
        Dataclasses whose settings there are.
    changes : mapping
        Settings by name.

    Returns
    -------
    dict
        Paths for texts that name files, plain numbers for numpy's.

    Raises
    ------
    InputError
        A name that is a setting of none of the classes, or no number where one is expected.
    """
    known = {field.name: field for options in classes for field in fields(options) if field.metadata}
    for name in changes:
        if name not in known:
            raise InputError(f"settings: no setting '{name}'; there are {', '.join(known)}")
    return {name: _read_value(known[name], value) for name, value in changes.items()}


def _read_value(field: Field, value: Any) -> Any:
    """Return a value from Python code in its field's type; raises `InputError` where that cannot be."""
    if value is None and field.default is None:
        return None
    if field.type == Path | None and isinstance(value, str | Path):
        return Path(value)
    for kind, number in ((int, Integral), (float, Real)):
        if field.type not in (kind, kind | None):
            continue
        if not isinstance(value, number) or isinstance(value, bool):
            raise InputError(f"settings: {field.name}={value!r}: expected {NUMBERS[kind]}")
        return _refuse_infinite("settings: ", field.name, kind(value))
    return value


def _refuse_infinite(where: str, name: str, value: Any) -> Any:
    """Return the value; raises `InputError` for a number without end or none at all."""
    if isinstance(value, float) and not isfinite(value):
        raise InputError(f"{where}{name}={value}: expected a finite number")
    return value


def _flag_of(field: Field, show_default: bool) -> inspect.Parameter:
    """Make the command parameter of a setting; its default stands in the help text."""
    shown = field.metadata.get("default_text", "") or ("" if field.default in (None, MISSING) else str(field.default))
    kind = list[str] if field.default is MISSING else _plain_type(field)
    option = typer.Option(
        *field.metadata.get("flags", ()),
        help=field.metadata["help"] + (f" Default: {shown}." if shown and show_default else ""),
        rich_help_panel=field.metadata.get("panel", "") or None,
        show_default=False,
        metavar="NAME=VALUE" if field.default is MISSING else None,
    )
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _plain_type(field: Field) -> type:
    """Return the type a flag's text is read as: of several, the first that is not None."""
    if get_origin(field.type) in (Union, UnionType):
        return next(kind for kind in get_args(field.type) if kind is not NoneType)
    return field.type


def _read_flag(field: Field, value: Any) -> Any:
    """Return the value of a flag that was given; NAME=VALUE texts become a dict."""
    flag = (field.metadata.get("flags", ()) or (f"--{field.name.replace('_', '-')}",))[0]
    if field.default is not MISSING:
        return _refuse_infinite("", flag, value)
    return parse_pairs(flag, value)


def _read_text(field: Field, text: str) -> Any:
    """Read the text of `--set` as a value of the setting's type."""
    if field.default is MISSING:
        raise InputError(f"--set {field.name}={text}: holds several values; use its own flag")
    kind = _plain_type(field)
    try:
        value = kind(text)
    except ValueError:
        raise InputError(f"--set {field.name}={text}: expected {NUMBERS.get(kind, kind.__name__)}") from None
    return _refuse_infinite("--set ", field.name, value)


# ---- texts


def parse_pairs(option: str, pairs: list[str] | None) -> dict[str, str]:
    """Read the NAME=VALUE texts of a repeated option as a dict; raises `InputError` on a text that is none."""
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {pair}: expected NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs or [])


def parse_resolution(text: str) -> tuple[int, int] | tuple[None, None]:
    """Read "64" as (64, 64), "48x64" as 48 rows of 64 pixels, "auto" as (None, None); else raise `InputError`."""
    if text.lower() == "auto":
        return None, None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 8 <= int(part) <= 1024 for part in parts):
        raise InputError(
            f"--resolution {text}: give a side such as 64, ROWSxCOLUMNS such as 48x64, from 8 to 1024, or auto"
        )
    return int(parts[0]), int(parts[-1])
