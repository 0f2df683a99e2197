"""How benchmarks measure: one process for each measurement, CPU time, peak memory, medians over turns.

Only the standard library is imported here: contenders load this module, and its imports would be counted for all of
them.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = [
    "NANNY",
    "Measurement",
    "call_here",
    "cpu_s",
    "describe_environment",
    "describe_machine",
    "describe_versions",
    "measure",
    "medians",
    "reset_peak",
    "resident",
    "spawn",
]

NANNY: Final = {"MALLOC_TRIM_THRESHOLD_": "65536"}
"""What Dask's nanny sets for its workers."""

ROOT: Final = Path(__file__).parents[1]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contender, once."""

    cpu_s: float
    """User and system time of the work, all threads [s]."""
    wall_s: float
    """Of the work [s]."""
    peak_bytes: int
    """Most resident memory during the work, above what was resident before it [B]."""
    imports_cpu_s: float
    """User and system time until the work began: interpreter, imports, settings [s]."""
    base_bytes: int
    """Resident before the work [B]."""


def measure(work: Callable[[], Result]) -> tuple[Measurement, Result]:
    """Do some work once in this process, which has done nothing before but prepare it."""
    gc.collect()
    reset_peak()
    base, imports = resident("VmRSS"), cpu_s()
    began = time.perf_counter()
    result = work()
    wall, cpu = time.perf_counter() - began, cpu_s() - imports
    return Measurement(cpu, wall, resident("VmHWM") - base, imports, base), result


def spawn(place: str, environment: Mapping[str, str] | None = None, **arguments: Any) -> Any:
    """Call a function in a new process, and give what it gives.

    Parameters
    ----------
    place : str
        Full name of the function, such as ``benchmarks.one_file.measure_one``.
    environment : mapping of str to str, optional
        Variables to set; those of :data:`NANNY` are unset where it does not name them.
    **arguments
        Of the function; like its result, what JSON can carry.

    Raises
    ------
    RuntimeError
        If the process fails, with its words.
    """
    code = "import sys; from benchmarks.measuring import call_here; call_here(*sys.argv[1:])"
    command = [sys.executable, "-c", code, place, json.dumps(arguments)]
    done = subprocess.run(
        command, env=clean_environment(environment), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{place} failed with {arguments}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def call_here(place: str, arguments: str) -> None:
    """Call a function in this process, for the parent that reads the last line of stdout."""
    print(json.dumps(function_at(place)(**json.loads(arguments))))


def function_at(place: str) -> Callable[..., Any]:
    """The function of that full name."""
    module, _, name = place.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process with those variables, and without those of a worker."""
    return {name: value for name, value in os.environ.items() if name not in NANNY} | dict(environment or {})


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each column."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def cpu_s(pid: int | None = None) -> float:
    """User and system time of a process, all threads, those that ended included; of this one by default [s]."""
    if pid is None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(field: str, pid: int | str = "self") -> int:
    """VmRSS or VmHWM of a process [B]; ``ru_maxrss`` will not do, it survives the exec of a large parent."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise RuntimeError(f"/proc/{pid}/status has no {field}: this benchmark needs Linux")


def reset_peak() -> None:
    """Let VmHWM begin anew; where the kernel does not let us, the peak of what was before counts too."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def describe_environment(environment: Mapping[str, str]) -> str:
    """For people."""
    return " ".join(f"{name}={value}" for name, value in environment.items()) or "default"


def describe_machine() -> str:
    """For people."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def describe_versions(packages: Sequence[str]) -> str:
    """For people; the packages are installed."""
    return ", ".join(f"{package} {version(package)}" for package in packages)
