"""Runs a function in a forked copy of this process, which is killed if it does not answer."""

from __future__ import annotations

import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

import pytest

Answer = TypeVar("Answer")

PATIENCE_S = 60
"""Far longer than what the functions take; a process that waits for threads which it does not have waits for ever."""


def in_fork(work: Callable[[], Answer]) -> Answer:
    """Return what the function returns in a forked process, or raise what it raises there."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_answer, args=(work, theirs))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)  # what is tested here
        child.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE_S):
            pytest.fail("the forked process hangs")
        answer, error, trace = ours.recv()
    finally:
        child.kill()
        child.join()
    if error is not None:
        error.add_note(f"in the forked process:\n{trace}")
        raise error
    return answer


def _answer(work: Callable[[], object], theirs: Connection) -> None:
    try:
        theirs.send((work(), None, ""))
    except BaseException as error:  # noqa: BLE001  the parent raises it
        theirs.send((None, error, traceback.format_exc()))
    finally:
        os._exit(0)  # the fixtures are the parent's to end
