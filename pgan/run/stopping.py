"""Stopping between two steps when a signal asks for it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Tells whether somebody asked to stop before the next step."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request to stop between two steps; a second one acts at once."""
    request = StopRequest()
    before = {}

    def ask(number: int, _frame: object) -> None:
        request.asked = True
        signal.signal(number, before[number])

    # Whoever asks again has no patience: the handler of before is back. Python hears signals in its main thread alone.
    is_main = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if is_main else ():
        before[number] = signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
