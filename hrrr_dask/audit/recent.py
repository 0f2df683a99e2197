"""The recent period of a store, as its ledger has it: newest run, gaps, flags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from hrrr_dask.ledger.completeness import N_CODES
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import COLUMNS, ValueStates, place_rows, reduce_rows
from hrrr_dask.outcomes import COMPLETE, NOT_OFFERED, OUTCOMES
from hrrr_dask.planning.runs import publication_delay
from hrrr_dask.quality.flags import FLAGS
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.store import partitions_of, read_states

__all__ = ["Recent", "look_back", "newest_with_values", "recent_inits"]

PATIENCE: Final = timedelta(hours=2)
"""How long after its usual publication a file that is not in the store is a gap."""

LOOK_BACK: Final = 8
"""Partitions before the recent period in which the newest run is looked for."""

ROW_COLUMNS: Final = (*COLUMNS, "flags", "checksum")
"""Columns of the ledger that are read."""


def recent_inits(existing: Existing, due: datetime, length: timedelta) -> slice:
    """Return the runs of the recent period, on the store's axis; at least the last one."""
    axis, requested = existing.axis, existing.requested
    stop = requested.stop
    while stop - 1 > requested.start and axis.init_time(stop - 1) > due:
        stop -= 1
    start, first = stop - 1, axis.init_time(stop - 1) - length
    while start > requested.start and axis.init_time(start - 1) > first:
        start -= 1
    return slice(start, stop)


@dataclass(frozen=True, slots=True)
class Recent:
    """The ledger of the recent period, read once."""

    existing: Existing
    inits: slice
    """The period on the store's axis."""
    tables: list[pa.Table]
    """Rows of all partitions of the period."""
    states: ValueStates

    @classmethod
    def read(cls, ledger: Ledger, existing: Existing, inits: slice) -> Recent:
        """Read the rows, and reduce them to the state of each value."""
        tables = list(ledger.tables(partitions_of(existing, inits), ROW_COLUMNS))
        states = reduce_rows(tables, existing.selection, existing.axis, inits, existing.cohort_sizes)
        return cls(existing, inits, tables, states)

    def count_gaps(self, now: datetime) -> tuple[int, dict[str, int]]:
        """Count the values that should be there by now, and by reason those that are missing."""
        codes, selection, axis = self.states.published_codes, self.existing.selection, self.existing.axis
        runs = np.array([axis.init_time(k) for k in range(self.inits.start, self.inits.stop)], dtype="datetime64[s]")
        delays = np.array([publication_delay(selection, h) for h in selection.file_hours], dtype="timedelta64[s]")
        is_due = runs[:, None] + delays + np.timedelta64(PATIENCE) <= np.datetime64(now)
        counted = (codes != NOT_OFFERED) & (is_due | (codes == COMPLETE))
        counts = np.bincount(codes[counted], minlength=N_CODES)
        gaps = {each.name: int(counts[each.number]) for each in OUTCOMES.values() if each.number != COMPLETE}
        ordered = sorted(gaps.items(), key=lambda item: -item[1])
        return int(counted.sum()), {name: count for name, count in ordered if count}

    def count_flags(self) -> tuple[dict[str, int], int, int]:
        """Count the fields by flag, those with any flag of an implausible value, and all.

        A field has the values of one variable, init time and lead time, and the flags that it has at any point.
        """
        flags = np.zeros(self.states.codes.shape, dtype=np.uint16)
        for table in self.tables:
            placed = place_rows(table, self.existing.selection, self.existing.axis, self.inits)
            np.bitwise_or.at(flags, placed.place, table["flags"].to_numpy()[placed.rows])
        counts = {flag.name: int(np.count_nonzero(flags & flag.mask)) for flag in FLAGS.values()}
        flagged = int(np.count_nonzero(flags & ~np.uint16(FLAGS["no-data-sentinel"].mask)))
        return {name: count for name, count in counts.items() if count}, flagged, int((self.states.covered > 0).sum())

    def arrays(self) -> list[tuple[int, int]]:
        """List the partitions and variables with values in the period."""
        span = self.existing.layout.partition_days * len(self.existing.axis.cycles)
        found = []
        for number in partitions_of(self.existing, self.inits):
            runs = slice(max(0, number * span - self.inits.start), (number + 1) * span - self.inits.start)
            found += [(number, v) for v, own in enumerate(self.states.covered[:, runs]) if own.any()]
        return found


def newest_with_values(states: ValueStates, existing: Existing, inits: slice) -> datetime | None:
    """Return the newest run of a period with any value."""
    has_values = np.flatnonzero((states.covered > 0).any(axis=(0, 2)))
    return existing.axis.init_time(inits.start + int(has_values[-1])) if has_values.size else None


def look_back(ledger: Ledger, existing: Existing, stop: int) -> datetime | None:
    """Look for the newest run with values in the partitions before a position, a few of them."""
    span = existing.layout.partition_days * len(existing.axis.cycles)
    for _ in range(LOOK_BACK):
        start = max(existing.requested.start, (stop - 1) // span * span)
        if stop <= start:
            return None
        found = newest_with_values(read_states(ledger, existing, slice(start, stop)), existing, slice(start, stop))
        if found is not None:
            return found
        stop = start
    return None
