"""Handles the signals that ask a command to stop; only possible in the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["call_on_stop", "ignore_signals", "stop_as_interrupt", "stop_signals"]


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return SIGINT, SIGTERM, and the SIGHUP of a closed terminal, unless this process ignores it, as under nohup."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hangup)


@contextmanager
def ignore_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Ignore signals during a block that must not be interrupted; processes started in it ignore them permanently."""
    with _set_handlers(numbers, signal.SIG_IGN):
        yield


@contextmanager
def call_on_stop(handler: Callable[[], None]) -> Iterator[None]:
    """Call ``handler`` on each of :func:`stop_signals` inside the block."""
    with _set_handlers(stop_signals(), lambda *_: handler()):
        yield


@contextmanager
def stop_as_interrupt() -> Iterator[None]:
    """Let each of :func:`stop_signals` raise KeyboardInterrupt, so that what was started is stopped."""
    with _set_handlers(stop_signals(), _interrupt):
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
