"""ecCodes in a process of its own, for packings whose bytes nobody here can check before.

Damaged JPEG 2000, CCSDS or IEEE data, and numbers wider than a word, end a process that has ecCodes unpack them, or
make it ask for any amount of memory. HRRR's messages have none of these packings: the process is started with the first
message that has one, and again when it ended over the last one.
"""

from __future__ import annotations

import atexit
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import DecodeError

__all__ = ["MISSING", "unpack", "unpack_apart"]

MISSING: Final = -1.0e100
"""Stands for a missing value while ecCodes unpacks: no packing of float32 references reaches it."""

LIMIT_S: Final = 10
"""CPU time for one message; a field of HRRR's takes a tenth of a second [s]."""

LIMIT_BYTES: Final = 2 << 30
"""Address space of the process; a field of HRRR's takes a tenth of that [B]."""

_LENGTH: Final = struct.Struct("=q")  # of what follows; negative for the words of an error
_CODE: Final = "from hrrr_dask.decode.eccodes_subprocess import answer; answer()"
_LOCK: Final = threading.Lock()
_running: list[subprocess.Popen[bytes]] = []


def unpack(message: bytes) -> NDArray[np.float64]:
    """The whole field of a message, :data:`MISSING` where it has no value.

    Raises
    ------
    DecodeError
        If ecCodes refuses it.
    """
    try:
        handle = eccodes.codes_new_from_message(message)
    except eccodes.CodesInternalError as error:
        raise DecodeError(f"ecCodes cannot read the message: {error}") from error
    try:
        eccodes.codes_set(handle, "missingValue", MISSING)
        field: NDArray[np.float64] = eccodes.codes_get_values(handle)
    except (eccodes.CodesInternalError, ValueError) as error:
        raise DecodeError(f"ecCodes cannot unpack the message: {error}") from error
    finally:
        eccodes.codes_release(handle)
    return field


def unpack_apart(message: bytes) -> NDArray[np.float64]:
    """The same in the other process, whose end is an error and not ours.

    Raises
    ------
    DecodeError
        If ecCodes refuses the message, or its process ends over it.
    """
    with _LOCK:
        process = _started()
        try:
            return _asked(process, message)
        except (OSError, struct.error):
            _stop()
        raise DecodeError(f"ecCodes ends its process with code {process.returncode} over the message: it is damaged")


def _started() -> subprocess.Popen[bytes]:
    if not _running:
        command = [sys.executable, "-c", _CODE]
        _running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))  # noqa: S603
        atexit.register(_stop)
    return _running[0]


def _stop() -> None:
    """Let the process end, if there is one, and wait for it."""
    while _running:
        process = _running.pop()
        try:
            process.communicate()
        except OSError:
            process.wait()
    atexit.unregister(_stop)


def _asked(process: subprocess.Popen[bytes], message: bytes) -> NDArray[np.float64]:
    assert process.stdin is not None, "it was asked for"
    assert process.stdout is not None, "it was asked for"
    process.stdin.write(_LENGTH.pack(len(message)) + message)
    process.stdin.flush()
    (size,) = _LENGTH.unpack(process.stdout.read(_LENGTH.size))
    answer = process.stdout.read(abs(size))
    if len(answer) < abs(size):
        raise OSError
    if size < 0:
        raise DecodeError(answer.decode())
    return np.frombuffer(answer).copy()


def answer() -> None:
    """What the process does: messages from stdin, their fields to stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # some libraries below ecCodes talk to stdout
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or allowed > LIMIT_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    while length := sys.stdin.buffer.read(_LENGTH.size):
        message = sys.stdin.buffer.read(*_LENGTH.unpack(length))
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            field = unpack(message).tobytes()
            answers.write(_LENGTH.pack(len(field)) + field)
        except DecodeError as error:
            words = str(error).encode()
            answers.write(_LENGTH.pack(-len(words)) + words)
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.flush()
