"""The data of :mod:`benchmarks.store_read`: a year of one variable, and the layouts in which it is written.

All layouts share the documents, coordinates and codec of the package's own template; only the variable's chunks differ.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import obstore
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

import hrrr_dask
from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.grid.points import Points
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.planning.layout import Axis, choose_layout
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.testing import GridWindow

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = [
    "LAYOUTS",
    "OURS",
    "VARIABLE",
    "Case",
    "Stored",
    "documents_of",
    "encode",
    "synthetic_values",
    "write_layout",
]

VARIABLE: Final = "temperature_2m"

OURS: Final = "hrrr_dask"
LAYOUTS: Final = (OURS, "chunk per run", "object per file")
"""The first is ours; the others are what a loop over runs or over files would write."""

PUTS_IN_FLIGHT: Final = 64

Values = NDArray[np.float32]
"""dims (init_time, lead_time, point) [K]."""


@dataclass(frozen=True, slots=True)
class Case:
    """How much there is to store: hourly runs of one variable."""

    n_days: int = 365
    """Length of the init_time axis [d]."""
    n_leads: int = 19
    """Lead times, from the analysis on, hourly."""
    n_points: int = 1000
    """Scattered over the whole grid."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Dims (init_time, lead_time, point)."""
        return (24 * self.n_days, self.n_leads, self.n_points)

    def spec(self) -> StoreSpec:
        """What ``backfill`` would make of it."""
        selection = Selection(parse_variables([VARIABLE]), tuple(range(0, 60 * self.n_leads, 60)), tuple(range(24)))
        window = GridWindow(0, 0, 1059, 1799)
        chance = np.random.default_rng(2023)
        rows, columns = (chance.uniform(1, size - 2, self.n_points) for size in window.shape)
        latitude, longitude = window.latlon(rows, columns)
        names = tuple(f"p{number:04d}" for number in range(self.n_points))
        points, section = Points(names, names, latitude, longitude), window.section3()
        return StoreSpec(
            selection=selection,
            points=points,
            cells=find_point_cells(points, section, selection.method),
            grid_section=section,
            layout=choose_layout(selection, self.n_points),
            axis=Axis(datetime(2023, 1, 1), selection.cycles),
            asked_from=0,
            n_days=self.n_days,
            package_version=hrrr_dask.__version__,
            sources=(),
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """What a layout takes."""

    objects: int
    """Of the variable; documents and coordinates are the same in all layouts."""
    bytes_stored: int
    """Of the variable [B]."""
    chunks: tuple[int, ...]
    """Shape of what one object holds, dims (init_time, lead_time, point)."""
    inner_chunks: tuple[int, ...]
    """Shape of what one request reads at least, dims (init_time, lead_time, point)."""


def synthetic_values(case: Case) -> Values:
    """Temperatures with seasons, days and fronts, and an error that grows with the lead time.

    Parameters
    ----------
    case : Case
        Their shape.

    Returns
    -------
    ndarray of float32, dims (init_time, lead_time, point)
        In steps of 1/16 K, as HRRR's messages are packed, so that they compress about as real ones do [K].
    """
    chance = np.random.default_rng(16)
    points = case.n_points
    mean, daily = (chance.uniform(low, high, points).astype(np.float32) for low, high in ((278, 292), (3, 8)))
    shift = chance.uniform(0, 24, points).astype(np.float32)
    lead = np.arange(case.n_leads, dtype=np.float32)[:, None]
    spread = np.float32(0.4) * np.sqrt(1 + lead)
    turn = np.float32(2 * np.pi)
    values = np.empty(case.shape, dtype=np.float32)
    for k in range(len(values)):
        hours = np.float32(k) + lead
        regular = mean + 12 * np.sin(turn * hours / 8766) + daily * np.sin(turn * (hours + shift) / 24)
        fronts = 4 * np.sin(turn * (hours / 110 + shift / 10)) + 2 * np.sin(turn * (hours / 37 + shift / 7))
        error = spread * chance.standard_normal(fronts.shape, dtype=np.float32)
        values[k] = np.round(16 * (regular + fronts + error)) / 16
    return values


def documents_of(spec: StoreSpec, layout: str) -> dict[str, bytes]:
    """Documents and coordinates of a store, root last, with the variable chunked as the layout says."""
    documents = build_template(spec)
    if layout == OURS:
        return documents
    array = json.loads(documents[f"{VARIABLE}/zarr.json"])
    leads = 1 if layout == "object per file" else len(spec.selection.lead_minutes)
    array["chunk_grid"]["configuration"]["chunk_shape"] = [1, leads, len(spec.points)]
    (sharding,) = array["codecs"]
    array["codecs"] = sharding["configuration"]["codecs"]
    documents[f"{VARIABLE}/zarr.json"] = json.dumps(array).encode()
    root = json.loads(documents[ROOT_KEY])
    root["consolidated_metadata"]["metadata"][VARIABLE] = array
    documents[ROOT_KEY] = json.dumps(root).encode()
    return documents


def write_layout(store: ObjectStore, spec: StoreSpec, layout: str, values: Values) -> Stored:
    """Write the values and all that belongs to them, the documents last.

    Parameters
    ----------
    store : ObjectStore
        Of obstore, empty.
    spec : StoreSpec
        The store.
    layout : str
        One of :data:`LAYOUTS`.
    values : ndarray of float32, dims (init_time, lead_time, point)
        What to write.
    """
    documents = documents_of(spec, layout)
    objects = bytes_stored = 0
    for part in encode(documents[f"{VARIABLE}/zarr.json"], values, spec.span):
        objects, bytes_stored = objects + len(part), bytes_stored + sum(map(len, part.values()))
        _put(store, {f"{VARIABLE}/{key}": data for key, data in part.items()})
    for name, coordinate in _of_files(spec).items():
        for part in encode(documents[f"{name}/zarr.json"], coordinate, spec.span):
            _put(store, {f"{name}/{key}": data for key, data in part.items()})
    _put(store, documents)
    array = json.loads(documents[f"{VARIABLE}/zarr.json"])
    chunks = tuple(array["chunk_grid"]["configuration"]["chunk_shape"])
    inner = tuple(array["codecs"][0]["configuration"].get("chunk_shape", chunks))
    return Stored(objects, bytes_stored, chunks, inner)


def _of_files(spec: StoreSpec) -> dict[str, NDArray[Any]]:
    """What the store says of each file, dims (init_time, lead_time): complete, there an hour after the run began."""
    start = int((spec.axis.first_day - datetime(1970, 1, 1)).total_seconds())
    runs, leads = np.arange(spec.n_init)[:, None], np.arange(len(spec.selection.lead_minutes))
    late = np.random.default_rng(60).integers(0, 600, (runs.size, leads.size))
    return {
        "status": np.full(late.shape, COMPLETE, dtype=np.uint8),
        "available_at": start + 3600 * (runs + 1) + 120 * leads + late,
    }


def encode(document: bytes, values: NDArray[Any], span: int) -> Iterator[dict[str, bytes]]:
    """Let zarr encode an array into dictionaries.

    Parameters
    ----------
    document : bytes
        The array's ``zarr.json``.
    values : ndarray, dims (init_time, ...)
        All of it.
    span : int
        How many init times at a time: whole chunks.

    Yields
    ------
    dict of str to bytes
        Key below the array to the object, for one span after the other.
    """
    metadata = json.loads(document)
    per_span = span // int(metadata["chunk_grid"]["configuration"]["chunk_shape"][0])
    for number, first in enumerate(range(0, len(values), span)):
        slab = values[first : first + span]
        part = json.dumps({**metadata, "shape": slab.shape}).encode()
        objects: dict[str, Buffer] = {"zarr.json": default_buffer_prototype().buffer.from_bytes(part)}
        zarr.open_array(MemoryStore(objects), mode="r+")[...] = slab
        del objects["zarr.json"]
        yield {_moved(key, number * per_span): bytes(buffer.to_bytes()) for key, buffer in objects.items()}


def _moved(key: str, inits: int) -> str:
    prefix, first, *others = key.split("/")
    return "/".join([prefix, str(int(first) + inits), *others])


def _put(store: ObjectStore, objects: Mapping[str, bytes]) -> None:
    async def put_some(items: Iterable[tuple[str, bytes]]) -> None:
        for key, data in items:
            await obstore.put_async(store, key, data, use_multipart=False)

    async def put_all() -> None:
        shared = iter(objects.items())  # whoever is free takes the next
        await asyncio.gather(*(put_some(shared) for _ in range(min(PUTS_IN_FLIGHT, len(objects)))))

    asyncio.run(put_all())
