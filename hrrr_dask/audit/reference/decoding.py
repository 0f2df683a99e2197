"""Decodes a whole GRIB2 message with ecCodes, in a child process where damaged data could crash ecCodes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_field"]

MISSING: Final = -1.0e100
"""Number that ecCodes returns for a missing value."""

_SAFE_PACKINGS: Final = ("grid_simple", "grid_complex", "grid_complex_spatial_differencing")
"""``packingType`` of HRRR messages. ecCodes does not check the data of other packings."""

_CODE: Final = "from hrrr_dask.audit.reference.decoding import decode_stdin; decode_stdin()"
LIMIT_S: Final = 60
"""Time limit for one message [s]."""
LIMIT_BYTES: Final = 2 << 30
"""Limit of the child process's address space [B]."""


def decode_field(handle: int) -> NDArray[np.float64]:
    """Decode a whole field, dims (cell,); NaN where the message has no value.

    Raises
    ------
    eccodes.CodesInternalError, ValueError
        If it cannot be decoded.
    """
    if eccodes.codes_get_string(handle, "packingType") in _SAFE_PACKINGS:
        return _decode(handle)
    command = [sys.executable, "-c", _CODE]
    message = eccodes.codes_get_message(handle)
    try:
        done = subprocess.run(command, input=message, capture_output=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise ValueError(f"ecCodes did not finish the message within {LIMIT_S} s: it is damaged") from None
    if done.returncode:
        tail = " ".join(done.stderr.decode(errors="replace").split()[-20:])
        raise ValueError(f"ecCodes exits with code {done.returncode} over the message; {tail}")
    return np.frombuffer(done.stdout)


def decode_stdin() -> None:
    """Read a message from stdin and write its field to stdout; the child process runs this."""
    stdout = os.dup(1)
    os.dup2(2, 1)  # some libraries used by ecCodes print to stdout
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY or allowed > LIMIT_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    field = _decode(eccodes.codes_new_from_message(sys.stdin.buffer.read()))
    with os.fdopen(stdout, "wb") as output:
        output.write(field.tobytes())


def _decode(handle: int) -> NDArray[np.float64]:
    eccodes.codes_set(handle, "missingValue", MISSING)
    field: NDArray[np.float64] = eccodes.codes_get_values(handle)
    field[field == MISSING] = np.nan
    return field
