"""Runs ecCodes in a subprocess with CPU and memory limits, for packings that cannot be validated beforehand.

Damaged JPEG 2000, CCSDS or IEEE data, and values wider than a machine word, can crash the process in which ecCodes
unpacks them, or make it allocate any amount of memory. HRRR messages use none of these packings. The subprocess starts
with the first message that does, and is restarted after a crash.
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

__all__ = ["MISSING", "unpack", "unpack_in_subprocess"]

MISSING: Final = -1.0e100
"""Marks missing values while ecCodes unpacks; no packing with a float32 reference value reaches it."""

LIMIT_S: Final = 10
"""CPU time limit per message; an HRRR field takes 0.1 s [s]."""

LIMIT_BYTES: Final = 2 << 30
"""Address space limit of the subprocess; an HRRR field takes a tenth of that [B]."""

_LENGTH: Final = struct.Struct("=q")  # size of the payload that follows; negative for an error text
_CODE: Final = "from hrrr_dask.decode.eccodes_subprocess import serve_requests; serve_requests()"
_LOCK: Final = threading.Lock()
_running: list[subprocess.Popen[bytes]] = []


def unpack(message: bytes) -> NDArray[np.float64]:
    """Unpack the whole field of a message, with :data:`MISSING` where it has no value.

    Raises
    ------
    DecodeError
        If ecCodes rejects the message.
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


def unpack_in_subprocess(message: bytes) -> NDArray[np.float64]:
    """Unpack as :func:`unpack` does, in the subprocess; if that crashes, this process raises an error.

    Raises
    ------
    DecodeError
        If ecCodes rejects the message, or its process exits while unpacking it.
    """
    with _LOCK:
        process = _start()
        try:
            return _request(process, message)
        except (OSError, struct.error):
            _stop()
        raise DecodeError(f"ecCodes exited with code {process.returncode} while unpacking the message: it is damaged")


def _start() -> subprocess.Popen[bytes]:
    """Start the subprocess unless it is running."""
    if not _running:
        command = [sys.executable, "-c", _CODE]
        _running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))  # noqa: S603
        atexit.register(_stop)
    return _running[0]


def _stop() -> None:
    """Stop the subprocess if it is running, and wait until it exits."""
    while _running:
        process = _running.pop()
        try:
            process.communicate()
        except OSError:
            process.wait()
    atexit.unregister(_stop)


def _request(process: subprocess.Popen[bytes], message: bytes) -> NDArray[np.float64]:
    """Send a message to the subprocess and read the response."""
    assert process.stdin is not None, "stdin is a pipe"
    assert process.stdout is not None, "stdout is a pipe"
    process.stdin.write(_LENGTH.pack(len(message)) + message)
    process.stdin.flush()
    (size,) = _LENGTH.unpack(process.stdout.read(_LENGTH.size))
    response = process.stdout.read(abs(size))
    if len(response) < abs(size):
        raise OSError
    if size < 0:
        raise DecodeError(response.decode())
    return np.frombuffer(response).copy()


def serve_requests() -> None:
    """Main loop of the subprocess: read messages from stdin, write their fields to stdout."""
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # some libraries used by ecCodes print to stdout
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or allowed > LIMIT_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    while length := sys.stdin.buffer.read(_LENGTH.size):
        message = sys.stdin.buffer.read(*_LENGTH.unpack(length))
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            field = unpack(message).tobytes()
            responses.write(_LENGTH.pack(len(field)) + field)
        except DecodeError as error:
            text = str(error).encode()
            responses.write(_LENGTH.pack(-len(text)) + text)
        signal.setitimer(signal.ITIMER_PROF, 0)
        responses.flush()
