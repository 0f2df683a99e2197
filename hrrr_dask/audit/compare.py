"""Compares one file of a store with its ledger and with the archive's object; xarray reads the stored values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from obstore.exceptions import BaseError

from hrrr_dask.archive.sources import Source, object_url, parse_source
from hrrr_dask.audit.reference import LastObject, NoValues, PointCells, PointValues, locate_points, read_values
from hrrr_dask.catalog.products import object_keys
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import ArchiveError, NotPublishedError, StoreError
from hrrr_dask.ledger.expected import ExpectedValues
from hrrr_dask.outcomes import outcome_numbered
from hrrr_dask.records import Forecast
from hrrr_dask.report.differences import Difference, Healed, Unchecked, VerifyFindings, shortest_number

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Comparison"]

_DAMAGE_ERRORS = (ValueError, RuntimeError)
"""Exceptions of zarr and its codecs for a damaged chunk or shard index."""


@dataclass(frozen=True)
class Comparison:
    """A store, its archive, and the findings."""

    selection: Selection
    """Variables and lead times of the store."""
    grid_section: bytes
    """GRIB2 section 3 of the store's messages."""
    chunk_points: int
    """Points in an inner chunk."""
    dataset: xr.Dataset
    """The store, opened with xarray."""
    sources: tuple[Source, ...]
    """Sources in fail-over order."""
    as_recorded: bool
    """Whether to read the object named in the ledger even if its directory is not one of the sources."""
    findings: VerifyFindings
    """Findings so far, updated in place."""
    last_object: LastObject
    """The object that was opened last."""

    @cached_property
    def point_ids(self) -> NDArray[np.object_]:
        """Ids of the store's points, dims (point,)."""
        found: NDArray[np.object_] = self.dataset.point_id.to_numpy()
        return found

    @property
    def n_points(self) -> int:
        """Number of points."""
        return len(self.point_ids)

    @cached_property
    def cells(self) -> PointCells:
        """Grid cells of the points."""
        latitude, longitude = (np.asarray(self.dataset[name], np.float64) for name in ("latitude", "longitude"))
        return locate_points(self.grid_section, latitude, longitude, self.selection.method)

    def has_status(self, forecast: Forecast, expected: int) -> bool:
        """Return whether a file's ``status`` in the store is the expected one."""
        try:
            return int(self._read_store("status", forecast, slice(0, 1))[0]) == expected
        except _DAMAGE_ERRORS:
            return False

    def compare_status(self, forecast: Forecast, expected: int) -> None:
        """Compare a file's ``status`` in the store with the ledger."""
        try:
            found = int(self._read_store("status", forecast, slice(0, 1))[0])
        except _DAMAGE_ERRORS as error:
            self.findings.add_difference(
                Difference("damaged-chunk", forecast.label, "status", "", None, None, note=str(error))
            )
            return
        if found != expected:
            names = (outcome_numbered(found).name, outcome_numbered(expected).name)
            self.findings.add_difference(Difference("other-status", forecast.label, "status", "", *names))

    def compare_values(self, forecast: Forecast, by_name: Mapping[str, ExpectedValues]) -> ArchiveError | None:
        """Compare a file's values with the ledger and the archive; returns the error if no object could be read."""
        stored = {name: self._read_stored(forecast, name) for name in by_name}
        for name, expected in by_name.items():
            self._check_gaps(forecast, name, expected, *stored[name])
        gaps = [name for name, expected in by_name.items() if not expected.sources]
        results: dict[str, PointValues | NoValues] = {}
        failure: ArchiveError | None = None
        for url in sorted({url for expected in by_name.values() for url in expected.sources}) or [""]:
            from_url = {name: expected for name, expected in by_name.items() if url in expected.sources}
            complete = {name: each.complete(self.n_points, url) & stored[name][1] for name, each in from_url.items()}
            try:
                found = self._read_archive(forecast, url, [*from_url, *gaps])
            except ArchiveError as error:
                failure = error
                n_values = sum(int(points.sum()) for points in complete.values())
                if n_values:
                    self.findings.add_unchecked(
                        Unchecked(forecast.label, tuple(from_url), error.code, str(error), n_values)
                    )
                continue
            for name, points in complete.items():
                self._compare_complete(forecast, name, points, stored[name][0], found[name])
            results |= found
        for name, expected in by_name.items():
            if expected.missing(self.n_points).any() and isinstance(results.get(name), PointValues):
                self.findings.add_healed(Healed(forecast.label, name, expected.reason))
        return None if results else failure

    def skip_file(self, forecast: Forecast, by_name: Mapping[str, ExpectedValues], error: ArchiveError) -> None:
        """Record that a file was not checked."""
        counts = {name: int(expected.complete(self.n_points).sum()) for name, expected in by_name.items()}
        names = tuple(name for name, count in counts.items() if count)
        if names:
            self.findings.add_unchecked(Unchecked(forecast.label, names, error.code, str(error), sum(counts.values())))

    def _check_gaps(
        self,
        forecast: Forecast,
        name: str,
        expected: ExpectedValues,
        stored: NDArray[np.float32],
        readable: NDArray[np.bool_],
    ) -> None:
        """Check that gaps in the ledger are missing values in the store."""
        (gap,) = np.nonzero(expected.missing(self.n_points) & readable)
        self.findings.gap_values += len(gap)
        for k in gap[~np.isnan(stored[gap])].tolist():
            point_id, found = str(self.point_ids[k]), shortest_number(stored[k])
            self.findings.add_difference(
                Difference("value-in-a-gap", forecast.label, name, point_id, found, None, note=expected.reason)
            )

    def _compare_complete(
        self,
        forecast: Forecast,
        name: str,
        points: NDArray[np.bool_],
        stored: NDArray[np.float32],
        found: PointValues | NoValues,
    ) -> None:
        """Check that complete values equal those of the archive."""
        n_values = int(points.sum())
        if isinstance(found, PointValues):
            self.findings.compare(
                forecast.label,
                name,
                self.point_ids[points],
                stored[points],
                found.values[points],
                found.tolerance[points],
                found.may_be_missing[points],
            )
        elif found.is_certain:
            self.findings.compared += n_values
            self.findings.add_difference(
                Difference("no-such-message", forecast.label, name, "", None, None, n_values, found.note)
            )
        else:
            self.findings.add_unchecked(Unchecked(forecast.label, (name,), found.reason, found.note, n_values))

    def _read_stored(self, forecast: Forecast, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read the stored values of a variable; also returns the points whose values can be read."""
        try:
            return self._read_store(name, forecast, slice(0, self.n_points)), np.ones(self.n_points, dtype=bool)
        except _DAMAGE_ERRORS:
            return self._read_by_chunk(forecast, name)

    def _read_by_chunk(self, forecast: Forecast, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read chunk by chunk, and record the damaged chunks."""
        values = np.full(self.n_points, np.nan, dtype=np.float32)
        readable = np.ones(len(values), dtype=bool)
        for first in range(0, len(values), self.chunk_points):
            chunk = slice(first, min(first + self.chunk_points, len(values)))
            try:
                values[chunk] = self._read_store(name, forecast, chunk)
            except _DAMAGE_ERRORS as error:
                readable[chunk] = False
                n_values, ids = chunk.stop - first, f"{self.point_ids[first]} to {self.point_ids[chunk.stop - 1]}"
                self.findings.add_difference(
                    Difference("damaged-chunk", forecast.label, name, ids, None, None, n_values, str(error))
                )
        return values, readable

    def _read_store(self, name: str, forecast: Forecast, points: slice) -> NDArray[np.float32]:
        """Read with xarray; damaged data raise one of :data:`_DAMAGE_ERRORS`."""
        array = self.dataset[name].variable  # selecting all coordinates of a DataArray takes longer than reading
        init, lead = np.datetime64(forecast.file.init_time, "ns"), np.timedelta64(forecast.lead_minutes, "m")
        at = [self.dataset.indexes[dim].get_loc(label) for dim, label in (("init_time", init), ("lead_time", lead))]
        try:
            return np.atleast_1d(array[(*at, points) if "point" in array.dims else tuple(at)].to_numpy())
        except (BaseError, OSError) as error:
            raise StoreError(f"{name} of the store cannot be read: {error}; nothing was changed, try again") from error

    def _read_archive(self, forecast: Forecast, url: str, names: Sequence[str]) -> dict[str, PointValues | NoValues]:
        """Read the object at a URL, or from another source if it no longer exists.

        Raises
        ------
        ArchiveError
            If no source has it, or none responds.
        """
        failure: ArchiveError | None = None
        selectors = {each.name: each.selector for each in self.selection.variables}
        for source, key in self._candidates(forecast, url):
            try:
                opened, n_bytes = self.last_object.open(source, key)
                self.findings.bytes_read += n_bytes
                found = read_values(opened, forecast, [selectors[name] for name in names], self.cells)
                return {name: found[selectors[name]] for name in names}
            except ArchiveError as error:
                if failure is None or isinstance(failure, NotPublishedError):
                    failure = error
        assert failure is not None, "there is at least one source"
        raise failure

    def _candidates(self, forecast: Forecast, url: str) -> Iterator[tuple[Source, str]]:
        """Yield the sources and keys to try for an object, the recorded one first."""
        keys = object_keys(forecast.file, [forecast.lead_minutes])
        places = [(source, key) for source in self.sources for key in keys]
        recorded = [(source, key) for source, key in places if object_url(source, key) == url]
        if not recorded and self.as_recorded and "://" not in url:
            directories = ((Path(url.removesuffix(f"/{key}")), key) for key in keys if url.endswith(f"/{key}"))
            recorded = [(parse_source(str(directory)), key) for directory, key in directories if directory.is_dir()]
        yield from recorded
        yield from (place for place in places if place not in recorded)
