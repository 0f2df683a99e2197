"""Compares one file of a store with the archive: values read by xarray, the ledger, and the source object."""

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
from hrrr_dask.audit.reference import Answer, Obstacle, Placement, open_object, place, read_values
from hrrr_dask.catalog.products import object_key
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import ArchiveError, NotPublishedError, StoreError
from hrrr_dask.ledger.expected import ExpectedValues
from hrrr_dask.outcomes import outcome_numbered
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import Difference, Findings, Healed, Unchecked, shortest_number

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """A store, its archive, and the findings so far."""

    selection: Selection
    """Variables and lead times of the store."""
    grid_section: bytes
    """Section 3 of the messages that the store was made from."""
    chunk_points: int
    """Points in an inner chunk."""
    dataset: xr.Dataset
    """The opened store."""
    sources: tuple[Source, ...]
    """Sources in the order of fail-over."""
    as_recorded: bool
    """Whether to read the file named in the ledger even if its directory is not one of the sources."""
    findings: Findings
    """Findings, updated in place."""

    @cached_property
    def point_ids(self) -> NDArray[np.object_]:
        """Ids of the store's points, dims (point,)."""
        found: NDArray[np.object_] = self.dataset.point_id.to_numpy()
        return found

    @cached_property
    def placement(self) -> Placement:
        """Points on the grid, computed once."""
        latitude, longitude = (np.asarray(self.dataset[name], np.float64) for name in ("latitude", "longitude"))
        return place(self.grid_section, latitude, longitude, self.selection.method)

    def status(self, file: GribFile, expected: int) -> None:
        """Compare the file's status in the store with the state of the ledger."""
        try:
            found = int(self._read_store("status", file, slice(0, 1))[0])
        except _DAMAGE as error:
            self.findings.differ(Difference("damaged-chunk", file.label, "status", "", None, None, note=str(error)))
            return
        if found != expected:
            words = (outcome_numbered(found).name, outcome_numbered(expected).name)
            self.findings.differ(Difference("other-status", file.label, "status", "", *words))

    def values(self, file: GribFile, by_name: Mapping[str, ExpectedValues]) -> ArchiveError | None:
        """Compare the file's values with ledger and archive; returns the error if the archive gave none."""
        store = {name: self._stored(file, name) for name in by_name}
        for name, expected_values in by_name.items():
            self._gap(file, name, expected_values, *store[name])
        gaps = [name for name, expected_values in by_name.items() if not expected_values.sources]
        answers: dict[str, Answer | Obstacle] = {}
        failure: ArchiveError | None = None
        for url in sorted({url for expected_values in by_name.values() for url in expected_values.sources}) or [""]:
            here = {
                name: expected_values for name, expected_values in by_name.items() if url in expected_values.sources
            }
            complete = {name: each.complete(len(self.point_ids), url) & store[name][1] for name, each in here.items()}
            try:
                new = self._read_archive(file, url, [*here, *gaps])
            except ArchiveError as error:
                failure = error
                n_values = sum(int(points.sum()) for points in complete.values())
                if n_values:
                    self.findings.leave(Unchecked(file.label, tuple(here), error.code, str(error), n_values))
                continue
            for name, points in complete.items():
                self._compare(file, name, points, store[name][0], new[name])
            answers |= new
        for name, expected_values in by_name.items():
            if expected_values.missing(len(self.point_ids)).any() and isinstance(answers.get(name), Answer):
                self.findings.heal(Healed(file.label, name, expected_values.reason))
        return None if answers else failure

    def leave(self, file: GribFile, by_name: Mapping[str, ExpectedValues], error: ArchiveError) -> None:
        """Record that a file was not checked."""
        counts = {
            name: int(expected_values.complete(len(self.point_ids)).sum()) for name, expected_values in by_name.items()
        }
        names = tuple(name for name, count in counts.items() if count)
        if names:
            self.findings.leave(Unchecked(file.label, names, error.code, str(error), sum(counts.values())))

    def _gap(
        self,
        file: GribFile,
        name: str,
        expected_values: ExpectedValues,
        stored: NDArray[np.float32],
        readable: NDArray[np.bool_],
    ) -> None:
        """Check that a gap in the ledger is missing in the store."""
        (gap,) = np.nonzero(expected_values.missing(len(self.point_ids)) & readable)
        self.findings.gap_values += len(gap)
        for k in gap[~np.isnan(stored[gap])].tolist():
            point_id, here = str(self.point_ids[k]), shortest_number(stored[k])
            self.findings.differ(
                Difference("value-in-a-gap", file.label, name, point_id, here, None, note=expected_values.reason)
            )

    def _compare(
        self,
        file: GribFile,
        name: str,
        points: NDArray[np.bool_],
        stored: NDArray[np.float32],
        answer: Answer | Obstacle,
    ) -> None:
        """Check that complete values equal the archive's."""
        n_values = int(points.sum())
        if isinstance(answer, Answer):
            self.findings.compare(
                (file.label, name),
                self.point_ids[points],
                stored[points],
                answer.values[points],
                answer.tolerance[points],
                answer.may_be_missing[points],
            )
        elif answer.is_certain:
            self.findings.compared += n_values
            self.findings.differ(Difference("no-such-message", file.label, name, "", None, None, n_values, answer.note))
        else:
            self.findings.leave(Unchecked(file.label, (name,), answer.reason, answer.note, n_values))

    def _stored(self, file: GribFile, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the stored values at the points, and where they can be read."""
        n_points = len(self.point_ids)
        try:
            return self._read_store(name, file, slice(0, n_points)), np.ones(n_points, dtype=bool)
        except _DAMAGE:
            return self._by_chunk(file, name)

    def _by_chunk(self, file: GribFile, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read chunk by chunk where some chunks are damaged, and record those."""
        values = np.full(len(self.point_ids), np.nan, dtype=np.float32)
        readable = np.ones(len(values), dtype=bool)
        for first in range(0, len(values), self.chunk_points):
            chunk = slice(first, min(first + self.chunk_points, len(values)))
            try:
                values[chunk] = self._read_store(name, file, chunk)
            except _DAMAGE as error:
                readable[chunk] = False
                n_values, who = chunk.stop - first, f"{self.point_ids[first]} to {self.point_ids[chunk.stop - 1]}"
                self.findings.differ(
                    Difference("damaged-chunk", file.label, name, who, None, None, n_values, str(error))
                )
        return values, readable

    def _read_store(self, name: str, file: GribFile, points: slice) -> NDArray[np.float32]:
        """Read with xarray; damaged data raise one of :data:`_DAMAGE`."""
        array = self.dataset[name].variable  # alone: selecting in its many coordinates takes longer than reading
        init, lead = np.datetime64(file.init_time, "ns"), np.timedelta64(file.lead_hours, "h")
        at = [self.dataset.indexes[dim].get_loc(label) for dim, label in (("init_time", init), ("lead_time", lead))]
        try:
            return np.atleast_1d(array[(*at, points) if "point" in array.dims else tuple(at)].to_numpy())
        except (BaseError, OSError) as error:
            raise StoreError(f"{name} of the store cannot be read: {error}; try again, nothing was changed") from error

    def _read_archive(self, file: GribFile, url: str, names: Sequence[str]) -> dict[str, Answer | Obstacle]:
        """Read the object at that URL, or from another source if it no longer exists.

        Raises
        ------
        ArchiveError
            If no source has it, or none responds.
        """
        failure: ArchiveError | None = None
        selectors = {each.name: each.selector for each in self.selection.variables}
        for source in self._candidates(file, url):
            try:
                with open_object(source, object_key(file)) as (opened, n_bytes):
                    self.findings.bytes_read += n_bytes
                    found = read_values(opened, file, [selectors[name] for name in names], self.placement)
                    return {name: found[selectors[name]] for name in names}
            except ArchiveError as error:
                if failure is None or isinstance(failure, NotPublishedError):
                    failure = error
        assert failure is not None, "there is at least one source"
        raise failure

    def _candidates(self, file: GribFile, url: str) -> Iterator[Source]:
        """Yield the sources to try for an object, its recorded one first."""
        key = object_key(file)
        own = [source for source in self.sources if object_url(source, key) == url]
        if not own and self.as_recorded and url.endswith(f"/{key}") and "://" not in url:
            directory = Path(url.removesuffix(f"/{key}"))
            own = [parse_source(str(directory))] if directory.is_dir() else []
        yield from own
        yield from (source for source in self.sources if source not in own)


_DAMAGE = (ValueError, RuntimeError)
"""Exceptions of zarr and its codecs for a chunk, or an index of a shard, that is damaged."""
