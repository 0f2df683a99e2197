"""Handles signals while a cluster starts and stops; only possible in the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["ignore_signals", "sigterm_as_interrupt"]


@contextmanager
def ignore_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Ignore signals during a block that must not be interrupted; processes started in it ignore them permanently."""
    with _set_handlers(numbers, signal.SIG_IGN):
        yield


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, so that what was started is stopped."""
    with _set_handlers((signal.SIGTERM,), _interrupt):
        yield


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _set_handlers(numbers: tuple[signal.Signals, ...], handler: Callable[..., Any] | signal.Handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
