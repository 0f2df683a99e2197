"""Measures how fast this machine decodes a full-size message, in a process configured like a worker."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import Final

import numpy as np

from hrrr_dask.decode import check_engine, get_engine
from hrrr_dask.errors import RunError
from hrrr_dask.job.costs import DEFAULT_CALIBRATION, Calibration
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow
from hrrr_dask.testing.group_packing import repack_in_short_groups
from hrrr_dask.testing.messages import MESSAGES, encode_message

__all__ = ["calibrate", "cpu_seconds"]

FILE: Final = GribFile(datetime(2024, 7, 1, 18), 6)
N_CELLS: Final = 500
"""Cells extracted from the field; their number has almost no effect on the time."""

REPEATS: Final = 15
PATIENCE_S: Final = 120.0

WORKER_ENVIRONMENT: Final = {"MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
"""Environment that Dask's nanny gives its workers by default; the first setting makes large arrays slower."""


def calibrate(engine: str = "auto") -> Calibration:
    """Measure how long this machine takes to decode a message, in a few seconds.

    Parameters
    ----------
    engine : str
        Decoding engine, a key of :data:`hrrr_dask.decode.ENGINES`.

    Returns
    -------
    Calibration
        For the cores of this machine. The time for the rest of a file depends on the network and is the default.

    Raises
    ------
    ConfigError
        If the engine is unknown.
    RunError
        If the measuring process fails.
    """
    check_engine(engine)
    command = [sys.executable, "-m", "hrrr_dask.job.calibrate", engine]
    try:
        done = subprocess.run(  # noqa: S603  our own module; memory settings are read when a process starts
            command,
            env={**WORKER_ENVIRONMENT, **os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        seconds = float(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        why = getattr(error, "stderr", None) or str(error)
        raise RunError(
            f"decoding with {engine} could not be measured: {str(why).strip()[-500:]}; plan without --calibrate"
        ) from error
    return Calibration(seconds, DEFAULT_CALIBRATION.seconds_per_file, _cores(), measured=True, engine=engine)


def cpu_seconds(engine: str, window: GridWindow, repeats: int = REPEATS) -> float:
    """Measure the CPU time that this process needs to decode one message, as a median.

    Parameters
    ----------
    engine : str
        Decoding engine.
    window : GridWindow
        Cells of the message.
    repeats : int
        Number of measured decodings; one before them, unmeasured, loads tables and compiles code.

    Returns
    -------
    float
        Median time for complex packing with second-order spatial differencing in short groups, as in most HRRR
        messages [s].
    """
    message = encode_message(MESSAGES["temperature_2m"], FILE, window)
    message = repack_in_short_groups(message, np.random.default_rng(2024))
    decoder = get_engine(engine)
    cells = np.linspace(0, window.ny * window.nx - 1, N_CELLS).astype(np.int64)
    decoder.points(message, cells)
    seconds = []
    for _ in range(repeats):
        before = time.process_time()
        decoder.points(message, cells)
        seconds.append(time.process_time() - before)
    return statistics.median(seconds)


def _cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.stdout.write(f"{cpu_seconds(sys.argv[1], GridWindow.whole())!r}\n")
