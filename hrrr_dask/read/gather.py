"""Gathers forecasts from different runs into one lazy array, which reads only what is used; computes others from them.

Arrays opened with ``chunks=None`` are read through xarray's backend interface; arrays in Dask chunks stay in Dask
chunks. See https://docs.xarray.dev/en/stable/internals/how-to-add-new-backend.html.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median_low
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import (
    CopyOnWriteArray,
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    MemoryCachedArray,
    explicit_indexing_adapter,
)

from hrrr_dask.errors import UsageError

__all__ = ["EXCLUDED", "RUN_DIMS", "Pick", "Runs", "compute_lazily", "gather", "shortest"]

RUN_DIMS: Final = ("init_time", "lead_time")

EXCLUDED: Final = np.uint8(255)
"""Tier of files that must not be picked."""

MAX_BOX_BYTES: Final = 2**28
"""Maximum number of bytes read at once before picking; more is read in pieces [B]."""


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """The forecast at each position of a result."""

    dims: tuple[str, ...]
    """Dimensions of the result."""
    inits: NDArray[np.intp]
    """Position on ``init_time``, -1 where there is no forecast; dims as ``dims``."""
    leads: NDArray[np.intp]
    """Position on ``lead_time``, arbitrary where there is no forecast; dims as ``dims``."""

    def __post_init__(self) -> None:
        if not self.inits.shape == self.leads.shape or len(self.dims) != self.inits.ndim:
            raise ValueError(f"a pick needs both positions for {self.dims}: {self.inits.shape}, {self.leads.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The two time axes of a dataset."""

    inits: NDArray[np.datetime64]
    """Init times, dims (init_time,), UTC."""
    leads: NDArray[np.timedelta64]
    """Lead times, dims (lead_time,)."""

    @classmethod
    def of(cls, ds: xr.Dataset) -> Runs:
        """Read the axes of a dataset; a single time is an axis of length 1."""
        axes = []
        for name, kind in zip(RUN_DIMS, "Mm", strict=True):
            axis = ds.coords.get(name)
            if (
                not isinstance(ds, xr.Dataset)
                or axis is None
                or axis.dims not in ((), (name,))
                or axis.dtype.kind != kind
            ):
                raise UsageError(
                    "a dataset with the times init_time and lead_time is needed, each a dimension or a single time; "
                    f"this is a {type(ds).__name__} of {dict(ds.sizes)}: give what hrrr_dask.open_dataset gives, or "
                    "a selection of it"
                )
            axes.append(np.atleast_1d(axis.values))
        return cls(*axes)

    @property
    def minutes(self) -> NDArray[np.int64]:
        """Lead times, dims (lead_time,) [min]."""
        return self.leads // np.timedelta64(1, "m")

    def valid_times(self) -> NDArray[np.datetime64]:
        """All valid times that some run reaches, ascending and unique."""
        return np.unique(self.inits[:, None] + self.leads)

    def positions(self, valid: NDArray[np.datetime64]) -> NDArray[np.intp]:
        """Return which run has each valid time at each lead time, -1 if there is none; dims (valid_time, lead_time)."""
        wanted = valid[:, None] - self.leads
        if not len(self.inits):
            return np.full(wanted.shape, -1)
        order = np.argsort(self.inits, kind="stable")
        found = order[np.searchsorted(self.inits, wanted, sorter=order).clip(max=len(order) - 1)]
        return np.where(self.inits[found] == wanted, found, -1)


def shortest(runs: Runs, valid: NDArray[np.datetime64], tiers: NDArray[np.uint8], exists: NDArray[np.bool_]) -> Pick:
    """Pick the shortest lead time among the files of the best tier, for each valid time.

    Parameters
    ----------
    runs : Runs
        The time axes.
    valid : ndarray of datetime64, dims (valid_time,)
        Valid times, UTC.
    tiers : ndarray of uint8, dims (init_time, lead_time)
        0 for the best files, :data:`EXCLUDED` for those that must not be picked.
    exists : ndarray of bool, dims (lead_time,)
        Lead times that may be picked.

    Returns
    -------
    Pick
        Dims ``(valid_time,)``.
    """
    best, inits, leads = np.full(len(valid), EXCLUDED), np.full(len(valid), -1), np.zeros(len(valid), dtype=np.intp)
    usable = np.flatnonzero(exists & (len(valid) > 0))
    # One lead time after the other, because a table of all valid times and lead times is large for quarter hours.
    for lead in usable[np.argsort(runs.leads[usable], kind="stable")]:
        reached = runs.inits + runs.leads[lead]
        at = np.searchsorted(valid, reached).clip(max=len(valid) - 1)
        better = np.flatnonzero((valid[at] == reached) & (tiers[:, lead] < best[at]))[::-1]  # of equal runs the first
        best[at[better]], inits[at[better]], leads[at[better]] = tiers[better, lead], better, lead
    return Pick(("valid_time",), inits, leads)


def gather(source: xr.Variable, pick: Pick, fill: Any = None) -> xr.Variable:
    """Gather the picked forecasts into one variable. Nothing is read.

    Parameters
    ----------
    source : xarray.Variable
        Dims ``init_time``, ``lead_time`` or both, and any others. A missing one has length 1 or does
        not matter.
    pick : Pick
        Positions on these dims.
    fill : optional
        Fill value where there is no forecast. By default xarray's missing value: NaN, NaT, and integers become
        floats.

    Returns
    -------
    xarray.Variable
        Dims of the pick, then the other dims of the source, with its attributes. In Dask chunks if the source is;
        otherwise a lazy array, which reads the init times and lead times that it needs.
    """
    if fill is None:
        missing = xr.Variable((), np.zeros((), source.dtype)).where(False)  # type: ignore[no-untyped-call]
        fill, dtype = missing.values[()], missing.dtype
    else:
        dtype = source.dtype
    others = tuple(dim for dim in source.dims if dim not in RUN_DIMS)
    if source.chunks is not None:
        return _gather_chunked(source, pick, fill)
    return _lazy((*pick.dims, *others), _Gathered(source, pick, fill, np.dtype(dtype)), source.attrs)


def compute_lazily(
    functions: Mapping[Hashable, Callable[..., NDArray[Any]]], sources: Sequence[xr.Variable]
) -> dict[Hashable, xr.Variable]:
    """Compute float32 variables element by element from others. Nothing is read.

    Parameters
    ----------
    functions : mapping of name to callable
        Each takes an array of each source, which are broadcast against each other, and returns one array.
    sources : sequence of xarray.Variable
        Any dims.

    Returns
    -------
    dict of name to xarray.Variable
        Dims of all sources, without attributes. In Dask chunks if a source is; otherwise lazy arrays: a part that is
        read of all results is read of the sources once.
    """
    if any(source.chunks is not None for source in sources):
        options: Mapping[str, Any] = {"dask": "parallelized", "output_dtypes": [np.float32]}
        return {
            name: xr.apply_ufunc(partial(_as_float32, function), *sources, **options)
            for name, function in functions.items()
        }
    shared = _Sources(sources, len(functions))
    return {name: _lazy(tuple(shared.sizes), _Computed(function, shared), {}) for name, function in functions.items()}


def _lazy(dims: tuple[Hashable, ...], array: BackendArray, attrs: Mapping[Any, Any]) -> xr.Variable:
    """Wrap an array as xarray.open_dataset does: read once, and writable without changing the source."""
    lazy: Any = LazilyIndexedArray(array)
    return xr.Variable(dims, MemoryCachedArray(CopyOnWriteArray(lazy)), attrs)  # type: ignore[no-untyped-call]


def _gather_chunked(source: xr.Variable, pick: Pick, fill: Any) -> xr.Variable:
    """Gather piece by piece, each with about the runs of one chunk, so that a piece needs few chunks of the source.

    All pieces have the same length, as Zarr requires of chunks when the result is written.
    """
    chunks = source.chunksizes.get("init_time", (1,))
    newest = pick.inits.max(axis=tuple(range(1, pick.inits.ndim)), initial=-1)
    per_chunk = np.bincount(np.searchsorted(np.cumsum(chunks), newest[newest >= 0], side="right"))
    length = max(1, *chunks, median_low(per_chunk[per_chunk > 0].tolist() or [1]))
    pieces = [
        _gather_piece(source, Pick(pick.dims, pick.inits[k : k + length], pick.leads[k : k + length]), fill)
        for k in range(0, max(len(newest), 1), length)
    ]
    joined: xr.Variable = xr.Variable.concat(pieces, pick.dims[0])  # type: ignore[no-untyped-call]
    return joined


def _gather_piece(source: xr.Variable, pick: Pick, fill: Any) -> xr.Variable:
    others = {dim: size for dim, size in source.sizes.items() if dim not in RUN_DIMS}
    dims = (*pick.dims, *others)
    here = pick.inits >= 0
    known = np.flatnonzero(here)
    if not len(known):
        nothing = np.broadcast_to(np.asarray(fill), (*here.shape, *others.values()))
        return xr.Variable(dims, nothing, source.attrs).chunk()
    # A position without a forecast uses that of its neighbour, so that it needs no chunk of its own.
    near = known[np.searchsorted(known, np.arange(here.size)).clip(max=len(known) - 1)].reshape(here.shape)
    indexers = {
        dim: xr.Variable(pick.dims, positions.ravel()[near])
        for dim, positions in zip(RUN_DIMS, (pick.inits, pick.leads), strict=True)
        if dim in source.dims
    }
    picked: xr.Variable = source.isel(indexers)
    if not (here.all() and indexers):
        picked = picked.where(xr.Variable(pick.dims, here), fill)  # type: ignore[no-untyped-call]
    return picked.transpose(*dims).chunk(dict.fromkeys(pick.dims, -1))


class _Gathered(BackendArray):
    """Lazy array of picked values; indexing reads."""

    def __init__(self, source: xr.Variable, pick: Pick, fill: Any, dtype: np.dtype[Any]) -> None:
        self._source = source
        self._pick = pick
        self._fill = fill
        self._others = tuple(dim for dim in source.dims if dim not in RUN_DIMS)
        self.shape = (*pick.inits.shape, *(source.sizes[dim] for dim in self._others))
        self.dtype = dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        n_picked = len(self._pick.dims)
        inits, leads = (_outer(positions, key[:n_picked]) for positions in (self._pick.inits, self._pick.leads))
        others = dict(zip(self._others, key[n_picked:], strict=True))
        single = {dim for dim, k in others.items() if _is_single(k)}
        # zarr 3.1.0 mixes up dimensions when integers and arrays are combined.
        source = self._source.isel({dim: slice(k, k + 1) if dim in single else k for dim, k in others.items()})
        out = np.full((inits.size, *(source.sizes[dim] for dim in others)), self._fill, dtype=self.dtype)
        _fill(out, source, inits.ravel(), leads.ravel())
        return out.reshape((*inits.shape, *(source.sizes[dim] for dim in others if dim not in single)))


class _Sources:
    """Variables that several arrays are computed from; remembers the last part until all of them have used it."""

    def __init__(self, variables: Sequence[xr.Variable], n_users: int) -> None:
        self._variables = tuple(variables)
        self._n_users = n_users
        self._last: tuple[Any, list[xr.Variable], int] | None = None
        self.sizes = {dim: size for variable in variables for dim, size in variable.sizes.items()}

    def read(self, key: tuple[Any, ...]) -> list[xr.Variable]:
        name = [k.tolist() if isinstance(k, np.ndarray) else k for k in key]
        last, self._last = self._last, None
        if last is not None and last[0] == name:
            _, parts, n_left = last
        else:
            # zarr 3.1.0 mixes up dimensions when integers and arrays are combined.
            at = {dim: slice(k, k + 1) if _is_single(k) else k for dim, k in zip(self.sizes, key, strict=True)}
            parts = [v.isel({dim: at[dim] for dim in v.dims}).compute() for v in self._variables]
            n_left = self._n_users
        if n_left > 1 and sum(part.nbytes for part in parts) <= MAX_BOX_BYTES:
            self._last = name, parts, n_left - 1
        return parts


class _Computed(BackendArray):
    """Lazy array of computed values; indexing reads."""

    def __init__(self, function: Callable[..., NDArray[Any]], sources: _Sources) -> None:
        self._function = function
        self._sources = sources
        self.shape = tuple(sources.sizes.values())
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        found: xr.Variable = xr.apply_ufunc(partial(_as_float32, self._function), *self._sources.read(key))
        values = found.transpose(*self._sources.sizes).values
        return values[tuple(0 if _is_single(k) else slice(None) for k in key)]


def _as_float32(function: Callable[..., NDArray[Any]], *arrays: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(function(*arrays), dtype=np.float32)


def _is_single(key: Any) -> bool:
    return isinstance(key, int | np.integer)


def _outer(values: NDArray[np.intp], key: tuple[Any, ...]) -> NDArray[np.intp]:
    """Apply each index to its own dimension; the last first, because an integer drops its dimension."""
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return np.asarray(values)


def _fill(out: NDArray[Any], source: xr.Variable, inits: NDArray[np.intp], leads: NDArray[np.intp]) -> None:
    """Read the box of init times and lead times that is needed and pick from it; split a large box in halves."""
    here = inits >= 0
    if not here.any():
        return
    needed: Mapping[Any, NDArray[np.intp]] = {
        dim: np.unique(positions[here])
        for dim, positions in zip(RUN_DIMS, (inits, leads), strict=True)
        if dim in source.dims
    }
    box_values = np.prod([len(needed.get(dim, range(size))) for dim, size in source.sizes.items()], dtype=float)
    if box_values * source.dtype.itemsize > MAX_BOX_BYTES and len(inits) > 1:
        for half in (slice(None, len(inits) // 2), slice(len(inits) // 2, None)):
            _fill(out[half], source, inits[half], leads[half])
        return
    box = source.isel({dim: _as_slice(found) for dim, found in needed.items()}).compute()
    values = box.transpose(*needed, ...).values
    at = {"init_time": inits[here], "lead_time": leads[here]}
    out[here] = values[tuple(np.searchsorted(found, at[dim]) for dim, found in needed.items())]


def _as_slice(ascending: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return a slice if nothing is left out, because slices are read faster."""
    first, last = int(ascending[0]), int(ascending[-1])
    return slice(first, last + 1) if last - first + 1 == len(ascending) else ascending
