"""Frozen dataclasses that the stages pass to each other: files, messages, cells, readings, outcomes, extracts.

Times are naive :class:`datetime.datetime` in UTC, as in GRIB. Nothing here reads, writes or decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ByteRange",
    "Cells",
    "Extract",
    "FileOutcome",
    "Forecast",
    "GribFile",
    "Origin",
    "Partition",
    "Reading",
    "Record",
    "Window",
    "WindowKind",
    "one_of_each_file",
]

WindowKind = Literal["instant", "acc", "ave", "max", "min"]


@dataclass(frozen=True, slots=True, order=True)
class GribFile:
    """One file of the archive: all messages of one run and lead time, or of the four quarters of an hour.

    Examples
    --------
    >>> GribFile(datetime(2024, 1, 1, 6), 5).label
    '20240101T06-f05'
    """

    init_time: datetime
    """Start of the model run, UTC."""
    lead_hours: int
    """Hour in its name: the lead time, or the last one that the file has [h]."""
    product: str = "sfc"
    """``sfc``, ``prs``, ``nat`` or ``subh``."""
    domain: str = "conus"
    """``conus`` or ``alaska``."""

    @property
    def lead_time(self) -> timedelta:
        """Lead time, or the last one that the file has."""
        return timedelta(hours=self.lead_hours)

    @property
    def valid_time(self) -> datetime:
        """Time for which the forecast of :attr:`lead_time` is valid, UTC."""
        return self.init_time + self.lead_time

    @property
    def label(self) -> str:
        """Short name for task keys and messages."""
        return f"{self.init_time:%Y%m%dT%H}-f{self.lead_hours:02d}"


@dataclass(frozen=True, slots=True, order=True)
class Forecast:
    """One lead time of a run, and the file that has it.

    Examples
    --------
    >>> Forecast(GribFile(datetime(2024, 1, 1, 6), 5, "subh"), 255).label
    '20240101T06-f05 at 255 min'
    """

    file: GribFile
    """The file."""
    lead_minutes: int
    """Lead time [min]."""

    @property
    def label(self) -> str:
        """Name for messages: the file's, and the lead time unless it is the file's hour."""
        quarter = f" at {self.lead_minutes} min" if self.lead_minutes % 60 else ""
        return f"{self.file.label}{quarter}"


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Half-open byte range ``[start, stop)`` of an object; ``stop`` None extends to its end."""

    start: int
    """First byte."""
    stop: int | None
    """One past the last byte, or None for the end of the object."""

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise ValueError(f"a byte range runs from 0 or more to a larger stop, not [{self.start}, {self.stop})")

    @property
    def size(self) -> int | None:
        """Number of bytes; None for an open range."""
        return None if self.stop is None else self.stop - self.start


@dataclass(frozen=True, slots=True)
class Window:
    """Time interval of a message, counted from its init time.

    Compared by value, not by spelling: ``0-1 day acc fcst`` and ``0-24 hour acc fcst`` are equal.
    """

    kind: WindowKind
    """``instant``, or how the values between start and stop are combined."""
    start: int
    """Start of the window [min after init_time]; equals stop for an instant."""
    stop: int
    """End of the window [min after init_time]: the lead time."""

    def __post_init__(self) -> None:
        if self.kind == "instant" and self.start != self.stop:
            raise ValueError(f"an instant starts where it stops, not [{self.start}, {self.stop}]")
        if self.start > self.stop:
            raise ValueError(f"a window starts before it stops, not [{self.start}, {self.stop}]")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an inventory: metadata and byte range of a message."""

    element: str
    """Parameter abbreviation as NOAA spells it, or ``var discipline=… parm=…`` for one without a name."""
    level: str
    """Level as NOAA spells it, such as ``2 m above ground``."""
    window: Window | None
    """Time window; None if its spelling is unknown (such a record is never selected)."""
    reference_time: datetime
    """Init time of the run, UTC."""
    byte_range: ByteRange
    """Byte range of the message; the last record of an inventory has an open stop."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Grid cells of points, and their weights.

    ``index[p, k]`` is a position in the order of the message (``y * nx + x``).
    """

    index: NDArray[np.int64]
    """Positions of the cells, dims (point, neighbour)."""
    weight: NDArray[np.float64]
    """Weights, dims (point, neighbour); every row sums to 1."""
    y: NDArray[np.int32]
    """Row of the nearest cell, dims (point,)."""
    x: NDArray[np.int32]
    """Column of the nearest cell, dims (point,)."""
    latitude: NDArray[np.float64]
    """Latitude of the nearest cell's centre, dims (point,) [degrees_north]."""
    longitude: NDArray[np.float64]
    """Longitude of the nearest cell's centre, -180 to 180, dims (point,) [degrees_east]."""
    distance: NDArray[np.float64]
    """Great-circle distance from the point to the nearest cell's centre, dims (point,) [m]."""


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """What to read of one file: lead times, variables and points that the store does not have yet."""

    file: GribFile
    """The file."""
    by_lead: tuple[tuple[int, tuple[str, ...]], ...]
    """Lead time [min] and names of the variables to read at it, in plan order; only what the archive can have in this
    file. Ascending."""
    first_point: int = 0
    """First point to read; the store has those before."""

    @classmethod
    def of(cls, file: GribFile, variables: Iterable[str], first_point: int = 0) -> Reading:
        """Make the reading of variables at the lead time in the file's name."""
        return cls(file, ((60 * file.lead_hours, tuple(variables)),), first_point)


@dataclass(frozen=True, slots=True)
class Origin:
    """Object that values were read from; all empty if unknown."""

    source: str = ""
    """URL or path of the object."""
    etag: str = ""
    """Entity tag of the object, if the source gives one."""
    published: datetime | None = None
    """Last-Modified of the object, UTC."""
    inventory: str = ""
    """``idx`` or ``walk``: whether the byte ranges are from the published inventory or from the file."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """Outcome of one file at one lead time: a row of the ledger for each variable."""

    file: GribFile
    """The file."""
    lead_minutes: int
    """Lead time [min]."""
    wanted: tuple[str, ...]
    """Names of the requested variables."""
    reasons: dict[str, str]
    """Name of each missing variable to the code of its gap; empty if nothing is missing."""
    details: dict[str, str] = field(default_factory=dict)
    """Name of a variable to an explanation of its gap, or of what earlier sources lacked."""
    origin: Origin = Origin()
    """Object that was read first."""
    elsewhere: dict[str, Origin] = field(default_factory=dict)
    """Name of a variable to its object, for variables that were not read from the first."""
    bytes_read: int = 0
    """Bytes received from the sources for the whole file [B]."""
    requests: int = 0
    """Requests made for the whole file, including retries."""
    seconds: float = 0.0
    """Wall time of the extraction of the whole file [s]."""
    fetch_s: float = 0.0
    """The part of it before the messages were there, for requests and their checks [s]."""
    first_point: int = 0
    """First point that was read."""
    n_points: int = 0
    """One past the last point: the number of points of the store that the reader knew."""
    engines: dict[str, str] = field(default_factory=dict)
    """Name of each complete variable to the engine that decoded it."""

    checksums: dict[str, int] = field(default_factory=dict)
    """Name of each complete variable to the CRC-32C of its values as little-endian float32."""
    flags: dict[str, int] = field(default_factory=dict)
    """Name of a variable to the flags of :mod:`hrrr_dask.quality.flags` of its values, if it has any."""

    def origin_of(self, name: str) -> Origin:
        """Return the object that a variable was read from, or last requested from."""
        return self.elsewhere.get(name, self.origin)


@dataclass(frozen=True, slots=True)
class Extract:
    """Values of one file and lead time at the points, a few kilobytes."""

    values: NDArray[np.float32]
    """Values of the outcome's ``wanted``, from its ``first_point`` to its ``n_points``, NaN if missing; dims
    (variable, point)."""
    outcome: FileOutcome
    """Outcome of the file and lead time."""


def one_of_each_file(outcomes: Iterable[FileOutcome]) -> list[FileOutcome]:
    """Return one outcome of each file, for figures of the whole file."""
    return list({outcome.file: outcome for outcome in outcomes}.values())


@dataclass(frozen=True, slots=True)
class Partition:
    """A slab of whole shards: some days of init times, all lead times, all points, all variables.

    The files to read are committed in steps of bounded size, one after the other.
    """

    number: int
    """Position along the store's init_time shards, from 0."""
    readings: tuple[Reading, ...]
    """What to read and commit in this step; ascending."""
    step: int = 0
    """Number of the step in the partition, from 0."""

    @property
    def label(self) -> str:
        """Short name for task keys: the first init time, and the number of the step if there are several."""
        day = f"{self.readings[0].file.init_time:%Y%m%d}" if self.readings else f"part{self.number}"
        return f"{day}-{self.step}" if self.step else day
