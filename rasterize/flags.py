"""Command-line flags made from the fields of options, and texts parsed in one place."""

from rasterize.errors import InputError


def parse_pairs(option: str, pairs: list[str] | None) -> dict[str, str]:
    """NAME=VALUE texts of a repeated option → a dict; raises `InputError` on a text without '='."""
    for pair in pairs or []:
        if "=" not in pair:
            raise InputError(f"{option} {pair}: expected NAME=VALUE, for example {option} started_at='Start date'")
    return dict(pair.split("=", 1) for pair in pairs or [])


def parse_resolution(text: str) -> tuple[int, int] | tuple[None, None]:
    """ "64" → (64, 64); "48x64" → (48, 64), rows × columns; "auto" → (None, None); `InputError` on anything else."""
    if text.lower() == "auto":
        return None, None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 8 <= int(part) <= 1024 for part in parts):
        raise InputError(
            f"--resolution {text}: give a side such as 64, ROWSxCOLUMNS such as 48x64, from 8 to 1024, or auto"
        )
    return int(parts[0]), int(parts[-1])


def name_and_file(option: str, pair: str) -> tuple[str, str]:
    """NAME=FILE of an option → both; raises `InputError` on anything else."""
    name, equals, path = pair.partition("=")
    if not (name and equals and path):
        raise InputError(f"{option} {pair}: expected NAME=FILE")
    return name, path
