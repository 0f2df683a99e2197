"""Decodes a whole message with ecCodes, in a child process if damaged data could crash this one."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

__all__ = ["unpack"]

MISSING: Final = -1.0e100
"""Missing value while ecCodes decodes."""

_HARMLESS: Final = ("grid_simple", "grid_complex", "grid_complex_spatial_differencing")
"""``packingType`` of all HRRR messages; for others, ecCodes does not check the data."""

_CODE: Final = "from hrrr_dask.audit.reference.decoding import answer; answer()"
LIMIT_S: Final = 60
"""Time limit for one message [s]."""
LIMIT_BYTES: Final = 2 << 30
"""Address space of the child process [B]."""


def unpack(handle: int) -> NDArray[np.float64]:
    """Decode the whole field, dims (cell,), NaN where the message has no value.

    Raises
    ------
    eccodes.CodesInternalError, ValueError
        If it cannot be decoded.
    """
    if eccodes.codes_get_string(handle, "packingType") in _HARMLESS:
        return _unpack(handle)
    command = [sys.executable, "-c", _CODE]
    message = eccodes.codes_get_message(handle)
    try:
        done = subprocess.run(command, input=message, capture_output=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ValueError(f"ecCodes did not finish the message within {LIMIT_S} s: it is damaged") from None
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split()[-20:])
        raise ValueError(f"ecCodes exits with code {done.returncode} over the message; {words}")
    return np.frombuffer(done.stdout)


def answer() -> None:
    """Run in the child process: read a message from stdin and write its field to stdout."""
    out = os.dup(1)
    os.dup2(2, 1)  # some libraries used by ecCodes print to stdout
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or allowed > LIMIT_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    field = _unpack(eccodes.codes_new_from_message(sys.stdin.buffer.read()))
    with os.fdopen(out, "wb") as answers:
        answers.write(field.tobytes())


def _unpack(handle: int) -> NDArray[np.float64]:
    eccodes.codes_set(handle, "missingValue", MISSING)
    field: NDArray[np.float64] = eccodes.codes_get_values(handle)
    field[field == MISSING] = np.nan
    return field
