"""A message's field by ecCodes: here, or in a process of its own where damaged data would end this one."""

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
"""Stands for a missing value while ecCodes unpacks."""

_HARMLESS: Final = ("grid_simple", "grid_complex", "grid_complex_spatial_differencing")
"""``packingType`` of all that HRRR has; of others, ecCodes trusts what it reads."""

_CODE: Final = "from hrrr_dask.audit.reference.decoding import answer; answer()"
LIMIT_S: Final = 60
"""For one message [s]."""
LIMIT_BYTES: Final = 2 << 30
"""Address space of the process [B]."""


def unpack(handle: int) -> NDArray[np.float64]:
    """The whole field, dims (cell,), NaN where the message has no value.

    Raises
    ------
    eccodes.CodesInternalError, ValueError
        If it cannot be unpacked.
    """
    if eccodes.codes_get_string(handle, "packingType") in _HARMLESS:
        return _unpack(handle)
    command = [sys.executable, "-c", _CODE]
    message = eccodes.codes_get_message(handle)
    try:
        done = subprocess.run(command, input=message, capture_output=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ValueError(f"ecCodes is not done with the message after {LIMIT_S} s: it is damaged") from None
    if done.returncode:
        words = " ".join(done.stderr.decode(errors="replace").split()[-20:])
        raise ValueError(f"ecCodes ends its process with code {done.returncode} over the message; {words}")
    return np.frombuffer(done.stdout)


def answer() -> None:
    """What the other process does: a message from stdin, its field to stdout."""
    out = os.dup(1)
    os.dup2(2, 1)  # some libraries below ecCodes talk to stdout
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
