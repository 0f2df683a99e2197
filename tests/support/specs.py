"""Small stores to test with, and what is put into them: numbers that tell where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import numpy as np

from hrrr_dask.archive.grid_probe import place_points
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.rows import Attempt, encode_entry
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.records import FileOutcome, GribFile, Origin
from hrrr_dask.store.merge import Piece
from hrrr_dask.store.spec import StoreSpec, first_step, grown
from hrrr_dask.store.store import Store
from hrrr_dask.testing import DEFAULT_WINDOW

AXIS = Axis(datetime(2024, 1, 1), (0, 12))
SELECTION = Selection(parse_variables(["temperature_2m", "precipitation_1h"]), (0, 1), AXIS.cycles)
NAMES = ("temperature_2m", "precipitation_1h")
LAYOUT = Layout(partition_days=2, shard_points=4, chunk_points=2)
SPAN = 4
"""Init times in a partition of them."""


def make_points(numbers: Iterable[int]) -> Points:
    """Point k stands a little beside the k-th cell of a diagonal."""
    at = np.array(list(numbers))
    latitude, longitude = DEFAULT_WINDOW.latlon(at % 24, at % 31 + 1)
    return Points(tuple(f"p{k}" for k in at), tuple(f"place {k}, Süd" for k in at), latitude + 0.001, longitude)


def make_spec(
    n_days: int = 4,
    n_points: int = 5,
    selection: Selection = SELECTION,
    layout: Layout = LAYOUT,
    axis: Axis = AXIS,
    asked_from: int = 0,
) -> StoreSpec:
    """A store that is to be made."""
    points, section = make_points(range(n_points)), DEFAULT_WINDOW.section3()
    return StoreSpec(
        selection=selection,
        points=points,
        cells=place_points(points, section, selection.method),
        grid_section=section,
        layout=layout,
        axis=axis,
        asked_from=asked_from,
        n_days=n_days,
        package_version="1.2.3",
        sources=("aws",),
    )


def made(spec: StoreSpec) -> StoreSpec:
    """The same store when it has just been made."""
    return grown(None, first_step(spec), 0)


def number_of(name: str, init: int, lead: int, points: np.ndarray) -> np.ndarray:
    """The value that belongs there, for each of the points."""
    return (sum(name.encode()) * 1000 + init * 100 + lead * 10 + np.asarray(points) / 16).astype(np.float32)


def piece(
    name: str, row: int, lead: int, *, partition: int = 0, points: tuple[int, int] = (0, 5), complete: bool = True
) -> Piece:
    """The values that belong there, or a gap."""
    values = number_of(name, partition * SPAN + row, lead, np.arange(*points))
    return Piece(row, lead, points[0], values if complete else np.full_like(values, np.nan), complete)


def all_pieces(
    partition: int = 0, names: Iterable[str] = NAMES, points: tuple[int, int] = (0, 5)
) -> dict[str, list[Piece]]:
    """All values that a partition can have; rain has none at lead 0."""
    return {
        name: [
            piece(name, row, lead, partition=partition, points=points)
            for row in range(SPAN)
            for lead in (0, 1)
            if lead or name != "precipitation_1h"
        ]
        for name in names
    }


def outcome(
    init: int,
    lead: int,
    reasons: dict[str, str] | None = None,
    wanted: tuple[str, ...] = NAMES,
    points: tuple[int, int] = (0, 5),
    **more: object,
) -> FileOutcome:
    """What came of one file."""
    reasons = {name: reason for name, reason in (reasons or {}).items() if name in wanted}
    about = {
        "origin": Origin(published=datetime(2024, 1, 1, 1, 2, 3)),
        "first_point": points[0],
        "n_points": points[1],
        **more,
    }
    details = {name: f"why {name}" for name in reasons}
    return FileOutcome(GribFile(AXIS.init_time(init), lead), wanted, reasons, details, **about)


def attempt(partition: int = 0, number: int = 1, *, job: str = "job", second: float = 0) -> Attempt:
    """Who commits; ``second`` orders the commits."""
    whole, part = divmod(second, 1)
    ingested = datetime(2024, 3, 1, 12, int(whole) // 60, int(whole) % 60, round(part * 1e6))
    return Attempt(partition, job, number, ingested, "eccodes", "1.2.3")


def commit(store: Store, *outcomes: FileOutcome, partition: int = 0, second: float = 0, job: str = "job") -> None:
    """Put an entry into the ledger of a store."""
    who = attempt(partition, job=job, second=second)
    store.ledger.write(who, encode_entry(outcomes, who))


def outcomes_of(
    partition: int = 0, reasons: dict[str, str] | None = None, points: tuple[int, int] = (0, 5)
) -> list[FileOutcome]:
    """Of all files of a partition; rain is not wanted at lead 0."""
    return [
        outcome(partition * SPAN + row, lead, reasons, NAMES if lead else NAMES[:1], points)
        for row in range(SPAN)
        for lead in (0, 1)
    ]


def raced(monkeypatch, name: str, other: Callable[[], object], when: Callable[[str], bool] = bool) -> list:
    """Let somebody else act just before the first such write; returns the list of keys at which that was."""
    write, keys = getattr(Blobs, name), []

    def late(self, key, *arguments):
        if not keys and when(key):
            keys.append(key)
            other()
        write(self, key, *arguments)

    monkeypatch.setattr(Blobs, name, late)
    return keys


def tree(root: str | Path, *, ledger: bool = True) -> dict[str, bytes]:
    """Key to bytes of all that lies in a directory, but for lock files."""
    root = Path(str(root).removeprefix("file://"))
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    left_out = ".hrrr/locks/" if ledger else ".hrrr/"
    return {key: data for key, data in files.items() if not key.startswith(left_out)}
