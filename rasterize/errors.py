"""The error for a user's bad input, and how a command ends on it: with one line, and exit code 2."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """The user's data or options cannot be used; the message says where, what is there, and what to do."""


def exit_on_input_error(command: Callable[[], None]) -> None:
    """Run a command; on `InputError` print its one line to stderr and exit with code 2, without a traceback."""
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
