"""The nouns: frozen values that the stages hand to one another.

Times are naive :class:`datetime.datetime` in UTC, as in GRIB. Nothing here reads, writes or decides.
"""

from __future__ import annotations

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
    "GribFile",
    "Origin",
    "Partition",
    "Reading",
    "Record",
    "Window",
    "WindowKind",
]

WindowKind = Literal["instant", "acc", "ave", "max", "min"]


@dataclass(frozen=True, slots=True, order=True)
class GribFile:
    """One file of the archive: everything one run says about one lead time.

    Examples
    --------
    >>> GribFile(datetime(2024, 1, 1, 6), 5).label
    '20240101T06-f05'
    """

    init_time: datetime
    """When the model started, UTC."""
    lead_hours: int
    """Lead time [h]."""
    product: str = "sfc"
    """``sfc``, ``prs``, ``nat`` or ``subh``."""
    domain: str = "conus"
    """``conus`` or ``alaska``."""

    @property
    def lead_time(self) -> timedelta:
        """Lead time as a duration."""
        return timedelta(hours=self.lead_hours)

    @property
    def valid_time(self) -> datetime:
        """When the forecast holds, UTC."""
        return self.init_time + self.lead_time

    @property
    def label(self) -> str:
        """Short name for task keys and messages."""
        return f"{self.init_time:%Y%m%dT%H}-f{self.lead_hours:02d}"


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """Half-open range of bytes ``[start, stop)`` of an object; ``stop`` None means to its end."""

    start: int
    """First byte."""
    stop: int | None
    """One past the last byte, or None for the end of the object."""

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise ValueError(f"a byte range runs from 0 or more to a larger stop, not [{self.start}, {self.stop})")

    @property
    def size(self) -> int | None:
        """Number of bytes, None while the end is open."""
        return None if self.stop is None else self.stop - self.start


@dataclass(frozen=True, slots=True)
class Window:
    """What stretch of time a message speaks of, counted from its init time.

    Structure instead of spelling: ``0-1 day acc fcst`` and ``0-24 hour acc fcst`` are equal here.
    """

    kind: WindowKind
    """``instant``, or how the values between start and stop were combined."""
    start: int
    """Begin of the window [min after init_time]; equals stop for an instant."""
    stop: int
    """End of the window [min after init_time]: the lead time."""

    def __post_init__(self) -> None:
        if self.kind == "instant" and self.start != self.stop:
            raise ValueError(f"an instant starts where it stops, not [{self.start}, {self.stop}]")
        if self.start > self.stop:
            raise ValueError(f"a window starts before it stops, not [{self.start}, {self.stop}]")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an inventory: what a message is and where it lies."""

    element: str
    """Parameter abbreviation as NOAA spells it, or ``var discipline=… parm=…`` for one without a name."""
    level: str
    """Level as NOAA spells it, such as ``2 m above ground``."""
    window: Window | None
    """The time window; None when its spelling is not understood (such a record is never selected)."""
    reference_time: datetime
    """The run's init time, UTC."""
    byte_range: ByteRange
    """Where the message lies; the last record of an inventory text has an open stop."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The grid cells that serve some points, and their weights.

    ``index[p, k]`` is a position in the message's own order (``y * nx + x``).
    """

    index: NDArray[np.int64]
    """dims (point, neighbour)."""
    weight: NDArray[np.float64]
    """dims (point, neighbour); every row sums to 1."""
    y: NDArray[np.int32]
    """dims (point,): row of the nearest cell."""
    x: NDArray[np.int32]
    """dims (point,): column of the nearest cell."""
    latitude: NDArray[np.float64]
    """dims (point,): of the nearest cell's centre [degrees_north]."""
    longitude: NDArray[np.float64]
    """dims (point,): of the nearest cell's centre, -180 to 180 [degrees_east]."""
    distance: NDArray[np.float64]
    """dims (point,): great circle from the point to the nearest cell's centre [m]."""


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """What is to be read of one file: all that the store does not have of it yet."""

    file: GribFile
    """Which file."""
    variables: tuple[str, ...]
    """Names, in plan order; only those that the archive can have in it."""
    first_point: int = 0
    """The points before this one are there already."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The object that values came from; nothing of it is known when all is empty."""

    source: str = ""
    """URL or path."""
    etag: str = ""
    """Its entity tag, when the source gives one."""
    published: datetime | None = None
    """Its Last-Modified, UTC."""
    inventory: str = ""
    """``idx`` or ``walk``: where the byte ranges came from."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What came of one file: a row of the ledger for each variable."""

    file: GribFile
    """Which file."""
    wanted: tuple[str, ...]
    """Names of the variables that were to be read."""
    reasons: dict[str, str]
    """Variable name to gap code, for the variables that are missing; empty when all are there."""
    details: dict[str, str] = field(default_factory=dict)
    """Variable name to a sentence about its gap, or about what sources before its own lacked."""
    origin: Origin = Origin()
    """The object that was read first."""
    elsewhere: dict[str, Origin] = field(default_factory=dict)
    """Variable name to another object, for the variables that did not come from the first."""
    bytes_read: int = 0
    """Bytes received from the sources [B]."""
    requests: int = 0
    """Requests made, retries included."""
    seconds: float = 0.0
    """Wall time of the extraction [s]."""
    first_point: int = 0
    """Begin of the points that were to be read."""
    n_points: int = 0
    """One past their end: the number of points that the reader knew."""
    engines: dict[str, str] = field(default_factory=dict)
    """Variable name to the engine that decoded it, for the variables that are there."""

    checksums: dict[str, int] = field(default_factory=dict)
    """Variable name to the CRC-32C of its values as little-endian float32, for the variables that are there."""
    flags: dict[str, int] = field(default_factory=dict)
    """Variable name to the flags of :mod:`hrrr_dask.quality.flags` that any of its values has, where it has any."""

    def origin_of(self, name: str) -> Origin:
        """The object that a variable came from, or was last looked for in."""
        return self.elsewhere.get(name, self.origin)


@dataclass(frozen=True, slots=True)
class Extract:
    """The values of one file at the points: a few kilobytes."""

    values: NDArray[np.float32]
    """dims (variable, point): the outcome's ``wanted``, from its ``first_point`` to its ``n_points``; NaN where there
    is no value."""
    outcome: FileOutcome
    """What was read and what is missing."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A slab of whole shards: some days of init times, all lead times, all points, all variables.

    What is to be read of it is committed in steps of bounded size, one after the other.
    """

    number: int
    """Position along the store's init_time shards, from 0."""
    readings: tuple[Reading, ...]
    """What to read and commit now; ascending."""
    step: int = 0
    """Which of the partition's steps this is, from 0."""

    @property
    def label(self) -> str:
        """Short name for task keys: the first init time, and the step if there are several."""
        day = f"{self.readings[0].file.init_time:%Y%m%d}" if self.readings else f"part{self.number}"
        return f"{day}-{self.step}" if self.step else day
