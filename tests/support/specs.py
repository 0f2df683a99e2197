"""Builds small stores for tests, with values that encode their variable, init time, lead time and point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import numpy as np

from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.rows import Attempt, encode_entry
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.records import FileOutcome, GribFile, Origin
from hrrr_dask.store.merge import Piece
from hrrr_dask.store.spec import StoreSpec, apply_growth, first_step
from hrrr_dask.store.store import Store
from hrrr_dask.testing import DEFAULT_WINDOW
from support.outcomes import hourly_outcome

AXIS = Axis(datetime(2024, 1, 1), (0, 12))
SELECTION = Selection(parse_variables(["temperature_2m", "precipitation_1h"]), (0, 60), AXIS.cycles)
NAMES = ("temperature_2m", "precipitation_1h")
LAYOUT = Layout(partition_days=2, shard_points=4, chunk_points=2)
SPAN = 4
"""Init times per partition."""


def make_points(numbers: Iterable[int]) -> Points:
    """Make points; point k is close to the k-th cell of a diagonal."""
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
    """Specify a store that does not exist yet."""
    points, section = make_points(range(n_points)), DEFAULT_WINDOW.section3()
    return StoreSpec(
        selection=selection,
        points=points,
        cells=find_point_cells(points, section, selection.method),
        grid_section=section,
        layout=layout,
        axis=axis,
        asked_from=asked_from,
        n_days=n_days,
        package_version="1.2.3",
        sources=("aws",),
    )


def as_created(spec: StoreSpec) -> StoreSpec:
    """Return the specification of the store after its creation."""
    return apply_growth(None, first_step(spec), 0)


def values_at(name: str, init: int, lead: int, points: np.ndarray) -> np.ndarray:
    """Return the expected value of each point."""
    return (sum(name.encode()) * 1000 + init * 100 + lead * 10 + np.asarray(points) / 16).astype(np.float32)


def piece(
    name: str, row: int, lead: int, *, partition: int = 0, points: tuple[int, int] = (0, 5), complete: bool = True
) -> Piece:
    """Make a piece with the expected values, or NaN for a gap."""
    values = values_at(name, partition * SPAN + row, lead, np.arange(*points))
    return Piece(row, lead, points[0], values if complete else np.full_like(values, np.nan), complete)


def all_pieces(
    partition: int = 0, names: Iterable[str] = NAMES, points: tuple[int, int] = (0, 5)
) -> dict[str, list[Piece]]:
    """Make all pieces of a partition; precipitation has none at lead time 0."""
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
    """Make the outcome of one file."""
    reasons = {name: reason for name, reason in (reasons or {}).items() if name in wanted}
    about = {
        "origin": Origin(published=datetime(2024, 1, 1, 1, 2, 3)),
        "first_point": points[0],
        "n_points": points[1],
        **more,
    }
    details = {name: f"why {name}" for name in reasons}
    return hourly_outcome(GribFile(AXIS.init_time(init), lead), wanted, reasons, details, **about)


def attempt(partition: int = 0, number: int = 1, *, job: str = "job", second: float = 0) -> Attempt:
    """Make the attempt of a commit; ``second`` orders the commits."""
    whole, part = divmod(second, 1)
    ingested = datetime(2024, 3, 1, 12, int(whole) // 60, int(whole) % 60, round(part * 1e6))
    return Attempt(partition, job, number, ingested, "eccodes", "1.2.3")


def commit(store: Store, *outcomes: FileOutcome, partition: int = 0, second: float = 0, job: str = "job") -> None:
    """Write an entry to the ledger of a store."""
    who = attempt(partition, job=job, second=second)
    store.ledger.write(who, encode_entry(outcomes, who))


def partition_outcomes(
    partition: int = 0, reasons: dict[str, str] | None = None, points: tuple[int, int] = (0, 5)
) -> list[FileOutcome]:
    """Make the outcomes of all files of a partition; precipitation is not wanted at lead time 0."""
    return [
        outcome(partition * SPAN + row, lead, reasons, NAMES if lead else NAMES[:1], points)
        for row in range(SPAN)
        for lead in (0, 1)
    ]


def race_write(monkeypatch, name: str, other: Callable[[], object], when: Callable[[str], bool] = bool) -> list:
    """Call ``other`` just before the first matching write; returns the list of keys at which that happened."""
    write, keys = getattr(Blobs, name), []

    def late(self, key, *arguments):
        if not keys and when(key):
            keys.append(key)
            other()
        write(self, key, *arguments)

    monkeypatch.setattr(Blobs, name, late)
    return keys


def read_tree(root: str | Path, *, ledger: bool = True) -> dict[str, bytes]:
    """Key to bytes of all files in a directory, except lock files."""
    root = Path(str(root).removeprefix("file://"))
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    left_out = ".hrrr/locks/" if ledger else ".hrrr/"
    return {key: data for key, data in files.items() if not key.startswith(left_out)}
