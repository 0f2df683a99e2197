"""The case of :mod:`benchmarks.chaos`: a synthetic archive, and three servers that inject faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from hrrr_dask.catalog.products import object_key
from hrrr_dask.records import GribFile
from hrrr_dask.testing import FaultServer, GridWindow, Script, SyntheticArchive, random_script, write_archive
from hrrr_dask.testing.fault_scripts import FOREVER, LASTING

__all__ = ["SOURCES", "VARIABLES", "Case", "Sources", "prepare", "served_badly"]

VARIABLES: Final = ("temperature_2m", "u_component_wind_10m", "v_component_wind_10m")
WINDOW: Final = GridWindow(288, 794, 8, 10)
START: Final = datetime(2024, 1, 1)
CYCLES: Final = (0, 6, 12, 18)
LEADS: Final = (1, 2, 3)

SOURCES: Final = 3
"""Number of servers of the same archive, each with its own faults."""

LOST: Final = 0.02
"""Share of files that no server ever has."""

FETCH: Final = {"attempts": 3, "timeout-s": 0.5, "connect-timeout-s": 5.0, "backoff-s": 0.01, "max-backoff-s": 0.05}
"""A stalled response costs half a second, and enough faults in a row make a gap."""


@dataclass(frozen=True, slots=True)
class Case:
    """Archive, points and size of a backfill."""

    archive: SyntheticArchive
    """The undamaged archive on disk."""
    points: Path
    """The points file."""
    days: int
    """Days of the archive, and partitions of a store."""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a backfill without store and sources."""
        return {
            "points": str(self.points),
            "start": f"{START:%Y-%m-%d}",
            "end": f"{START + timedelta(days=self.days - 1):%Y-%m-%d}",
            "variables": list(VARIABLES),
            "cycles": ",".join(map(str, CYCLES)),
            "lead_hours": f"{LEADS[0]}-{LEADS[-1]}",
            "axis_start": f"{START:%Y-%m-%d}",
            "partition_days": 1,
            "fetch": FETCH,
            "engine": "eccodes",
        }


def prepare(work: Path, n_files: int) -> Case:
    """Write the archive and the points."""
    days = max(2, -(-n_files // (len(CYCLES) * len(LEADS))))
    end = START + timedelta(days=days) - timedelta(hours=1)
    archive = write_archive(
        work / "archive", start=START, end=end, cycles=CYCLES, lead_hours=LEADS, variables=VARIABLES, window=WINDOW
    )
    latitude, longitude = WINDOW.latlon(np.array([2.2, 5.7, 1.0]), np.array([3.1, 8.2, 0.6]))
    rows = [f"p{k},{y},{x}\n" for k, (y, x) in enumerate(zip(latitude, longitude, strict=True))]
    (work / "points.csv").write_text("".join(["point_id,latitude,longitude\n", *rows]))
    return Case(archive, work / "points.csv", days)


@dataclass(frozen=True, slots=True)
class Sources:
    """The servers of one round."""

    servers: tuple[FaultServer, ...]
    """The running servers."""
    lost: frozenset[GribFile]
    """Files that no server ever has intact."""

    @property
    def urls(self) -> list[str]:
        """URLs of the servers."""
        return [server.url for server in self.servers]

    @property
    def served(self) -> Counter[str]:
        """Faults served so far, by mode."""
        counts = sum((server.served for server in self.servers), Counter[str]())
        del counts["ok"]
        return counts

    @property
    def requests(self) -> int:
        """Requests answered so far, with or without faults."""
        return sum(server.requests.total() for server in self.servers)


@contextmanager
def served_badly(case: Case, n_faults: int, seed: int, delay_s: float = 0.0) -> Iterator[Sources]:
    """Serve the archive from several servers, each with its own faults.

    The first file of the archive is intact everywhere, because it determines the grid of a new store.
    """
    chance = random.Random(seed)
    first, *others = case.archive.files
    chosen = chance.sample(others, max(1, round(LOST * len(others))))
    scripts = [_script(case, n_faults, chance, first, chosen) for _ in range(SOURCES)]
    lost = frozenset(file for file in others if not any(script.heals(object_key(file)) for script in scripts))
    assert lost >= set(chosen), "what is lost everywhere is lost"
    with ExitStack() as stack:
        yield Sources(
            tuple(stack.enter_context(FaultServer(case.archive, script, delay_s)) for script in scripts), lost
        )


def _script(case: Case, n_faults: int, chance: random.Random, first: GribFile, lost: list[GribFile]) -> Script:
    spared = [object_key(first), f"{object_key(first)}.idx"]
    drawn: Mapping[str, Any] = random_script(
        case.archive, n_faults, chance.randrange(1 << 30), lasting=0.03, spare=spared
    ).modes
    return Script(dict(drawn) | {object_key(file): (chance.choice(LASTING[".grib2"]), FOREVER) for file in lost})
