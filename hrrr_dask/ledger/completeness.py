"""Counts the complete, missing and outstanding files and values of a store by day or month. Pure.

Works on plain arrays of outcome numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.outcomes import COMPLETE, NOT_OFFERED, OUTCOMES

__all__ = [
    "N_CODES",
    "REASONS",
    "Columns",
    "StatusRow",
    "calendar_columns",
    "check_times",
    "count_days",
    "count_values",
    "file_states",
    "picture_columns",
    "summarise",
]

TABLE_DAYS: Final = 62
"""Longest period for which a table has one row a day; beyond it, one row a month [d]."""

TOP_REASONS: Final = 3
"""Maximum number of reasons in a row of the table."""

PLOT_RUN_DAYS: Final = 4
"""Longest period for which a picture has one column a run [d]."""

PLOT_DAYS: Final = 400
"""Longest period for which a picture has one column a day; beyond it, one column a month [d]."""

_SILENT: Final = frozenset({"not-ingested", "complete", "not-in-this-era", "partial"})

REASONS: Final = tuple(outcome for outcome in OUTCOMES.values() if outcome.name not in _SILENT)
"""Outcomes that are the reason for a gap."""

N_CODES: Final = 1 + max(outcome.number for outcome in OUTCOMES.values())
"""All outcome numbers are smaller than this."""


@dataclass(frozen=True, slots=True)
class StatusRow:
    """Counts of files for one day or month of init times."""

    label: str
    """``2024-07-01`` or ``2024-07``."""
    files_wanted: int
    """Files that the archive is expected to have."""
    files_complete: int
    """Of these, files with every variable complete."""
    files_with_gaps: int
    """Of these, files with at least one gap."""
    files_to_do: int
    """Of these, files that were not read yet, or not for all variables."""
    reasons: tuple[tuple[str, int], ...]
    """Reasons and the number of values missing for each, largest first; at most :data:`TOP_REASONS`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A regular time axis of runs, days or months, without holes."""

    unit: Literal["run", "day", "month"]
    """Unit of a column."""
    edges: NDArray[np.datetime64]
    """Edges of the columns, dims (column + 1,)."""
    of_run: NDArray[np.int64]
    """Column of each run, dims (init_time,)."""

    @property
    def n(self) -> int:
        """Number of columns."""
        return len(self.edges) - 1


def summarise(
    codes: NDArray[np.uint8], init_times: NDArray[np.datetime64], file_hours: Sequence[int] | None = None
) -> list[StatusRow]:
    """Count files by day, or by month if there are many days.

    Parameters
    ----------
    codes : ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers.
    init_times : ndarray of datetime64, dims (init_time,)
        Ascending, UTC.
    file_hours : sequence of int, optional
        For each lead time, the hour that names its file; by default, each has its own file.

    Returns
    -------
    list of StatusRow
        Ascending, without days or months that have no file in the archive or no run in the store.

    Raises
    ------
    ValueError
        If the shapes of the arrays do not match.

    Examples
    --------
    >>> codes = np.array([[[1, 1], [1, 8], [0, 2]]], dtype=np.uint8)
    >>> for row in summarise(codes, np.array(["2024-07-01T00", "2024-07-01T12", "2024-07-02T00"], "datetime64[h]")):
    ...     print(row.label, row.files_wanted, row.files_complete, row.files_with_gaps, row.files_to_do, row.reasons)
    2024-07-01 4 3 1 0 (('not-published', 1),)
    2024-07-02 1 0 0 1 ()
    """
    times = check_times(codes, init_times)
    if not len(times):
        return []
    columns = calendar_columns(times, "day" if count_days(times) <= TABLE_DAYS else "month")
    wanted, complete, gapped = (_sum_runs(files, columns) for files in file_states(codes, file_hours))
    counts = count_values(codes, columns, np.zeros((1, codes.shape[2]), dtype=np.int64), 1)[:, 0]
    return [
        StatusRow(
            label=str(columns.edges[k].astype("datetime64[D]"))[: 10 if columns.unit == "day" else 7],
            files_wanted=int(wanted[k]),
            files_complete=int(complete[k]),
            files_with_gaps=int(gapped[k]),
            files_to_do=int(wanted[k] - complete[k] - gapped[k]),
            reasons=_top(counts[k]),
        )
        for k in np.flatnonzero(wanted).tolist()
    ]


def check_times(codes: NDArray[np.uint8], init_times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Return the init times in seconds, after checking that they match the outcomes.

    Raises
    ------
    ValueError
        If the shapes do not match, or the times are not ascending.
    """
    times = np.asarray(init_times).astype("datetime64[s]")
    if codes.ndim != 3 or codes.shape[1:2] != times.shape:
        raise ValueError(
            f"outcomes of shape {codes.shape} have dims (variable, init_time, lead_time), not {times.shape}"
        )
    if (np.diff(times) <= np.timedelta64(0)).any():
        raise ValueError("init times ascend, each once: sort them together with their outcomes")
    if codes.size and int(codes.max()) >= N_CODES:
        raise ValueError(f"outcome number {int(codes.max())} is not in the table: it ends with {N_CODES - 1}")
    return times


def count_days(times: NDArray[np.datetime64]) -> int:
    """Return the number of calendar days from the first to the last time [d]."""
    return int((times[-1].astype("datetime64[D]") - times[0].astype("datetime64[D]")).astype(np.int64)) + 1


def calendar_columns(times: NDArray[np.datetime64], unit: Literal["day", "month"]) -> Columns:
    """Make columns of whole calendar days or months."""
    kind = "datetime64[D]" if unit == "day" else "datetime64[M]"
    periods = times.astype(kind)
    edges = np.arange(periods[0], periods[-1] + 2, dtype=kind)
    return Columns(unit, edges.astype("datetime64[s]"), (periods - periods[0]).astype(np.int64))


def picture_columns(times: NDArray[np.datetime64]) -> Columns:
    """Make one column a run for a few days, one a day for about a year, and one a month beyond.

    Parameters
    ----------
    times : ndarray of datetime64[s], dims (init_time,)
        Ascending, one or more.
    """
    n_days = count_days(times)
    if n_days > PLOT_RUN_DAYS:
        return calendar_columns(times, "day" if n_days <= PLOT_DAYS else "month")
    since = (times - times[0]).astype(np.int64)
    step = int(np.gcd.reduce(since[1:])) if len(times) > 1 else 3600
    of_run = since // step
    edges = times[0] + (np.arange(of_run[-1] + 2) * step - step // 2).astype("timedelta64[s]")
    return Columns("run", edges, of_run)


def count_values(
    codes: NDArray[np.uint8], columns: Columns, row_of: NDArray[np.int64], n_rows: int
) -> NDArray[np.int64]:
    """Count values by outcome number, dims (column, row, outcome); ``row_of`` broadcasts to (init_time, lead_time)."""
    place = (columns.of_run[:, None] * n_rows + row_of) * N_CODES
    counts = np.zeros(columns.n * n_rows * N_CODES, dtype=np.int64)
    for own in codes:  # one variable at a time: positions of all variables would take gigabytes for ten years
        counts += np.bincount((place + own).ravel(), minlength=len(counts))
    return counts.reshape(columns.n, n_rows, N_CODES)


def file_states(
    codes: NDArray[np.uint8], file_hours: Sequence[int] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which files are wanted, which of them are complete, and which have gaps.

    Parameters
    ----------
    codes, file_hours
        As for :func:`summarise`.

    Returns
    -------
    wanted, complete, gapped : ndarray of bool, dims (init_time, file)
        Wanted files that are neither complete nor gapped are still to be read, at least for some of their variables.
    """
    wanted, gapped = np.zeros(codes.shape[1:], dtype=bool), np.zeros(codes.shape[1:], dtype=bool)
    whole = np.ones(codes.shape[1:], dtype=bool)
    is_reason = np.zeros(N_CODES, dtype=bool)
    is_reason[[outcome.number for outcome in REASONS]] = True
    for own in codes:  # one variable at a time, to save memory
        there = own != NOT_OFFERED
        wanted |= there
        whole &= ~there | (own == COMPLETE)
        gapped |= is_reason[own]
    if file_hours is not None:
        starts = np.unique(file_hours, return_index=True)[1]
        whole = np.logical_and.reduceat(whole, starts, axis=1)
        wanted, gapped = (np.logical_or.reduceat(files, starts, axis=1) for files in (wanted, gapped))
    return wanted, whole & wanted, gapped


def _sum_runs(files: NDArray[np.bool_], columns: Columns) -> NDArray[np.int64]:
    sums = np.zeros(columns.n, dtype=np.int64)
    np.add.at(sums, columns.of_run, files.sum(axis=1))
    return sums


def _top(counts: NDArray[np.int64]) -> tuple[tuple[str, int], ...]:
    found = [(outcome.name, int(counts[outcome.number])) for outcome in REASONS if counts[outcome.number]]
    return tuple(sorted(found, key=lambda item: (-item[1], item[0]))[:TOP_REASONS])
