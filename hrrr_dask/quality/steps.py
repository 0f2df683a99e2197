"""Flags implausible steps between consecutive lead times, and between runs at the same valid time.

Like a random walk, a quantity changes by its hourly step times the square root of the hours: by half of it in a quarter
of an hour. Much larger steps are flagged for review; the values are not changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.limits import find_limits
from hrrr_dask.catalog.variables import Variable
from hrrr_dask.quality.flags import STEP_FLAGS

__all__ = ["STEP_FACTOR", "preceding_values", "step_flags"]

STEP_FACTOR: Final = 5.0
"""A step is flagged if it exceeds the hourly step by this factor. On the day on which the hourly steps were measured,
the largest step was below three quarters of that, except in one cell without moisture."""

ALONG_LEAD, BETWEEN_RUNS = (np.uint16(flag.mask) for flag in STEP_FLAGS.values())


def step_flags(
    values: NDArray[np.float32],
    variable: Variable,
    init_times: NDArray[np.datetime64],
    lead_minutes: Sequence[int],
    flags: NDArray[np.uint16] | None = None,
) -> NDArray[np.uint16]:
    """Flag values far from those at the previous lead time, or of the previous run at the same valid time.

    Parameters
    ----------
    values : ndarray of float32, dims (init_time, lead_time, point)
        Values of the variable [unit of the catalogue].
    variable : Variable
        No steps are flagged if it has no hourly step in :mod:`hrrr_dask.catalog.limits`.
    init_times : ndarray of datetime64, dims (init_time,)
        Ascending, UTC.
    lead_minutes : sequence of int
        Ascending [min].
    flags : ndarray of uint16, dims (init_time, lead_time, point), optional
        Flags of :mod:`hrrr_dask.quality.flags`: steps from and to flagged values are ignored.

    Returns
    -------
    ndarray of uint16, dims (init_time, lead_time, point)
        Sum of the masks of :data:`STEP_FLAGS`. The value after the step is flagged, but not the value that returns to
        the level before it. Steps from and to missing values are ignored.

    Raises
    ------
    ValueError
        If the shapes do not match.
    """
    if values.ndim != 3 or values.shape[:2] != (len(init_times), len(lead_minutes)):
        raise ValueError(
            f"wanted values with dims (init_time, lead_time, point) for {len(init_times)} runs and {len(lead_minutes)} "
            f"lead times, found shape {values.shape}"
        )
    steps = np.zeros(values.shape, dtype=np.uint16)
    limits = find_limits(variable.selector)
    if limits is None or limits.hourly_step is None:
        return steps
    if flags is not None and flags.any():
        values = np.where(flags == 0, values, np.float32(np.nan))
    max_hourly = STEP_FACTOR * limits.hourly_step
    with np.errstate(invalid="ignore"):  # the difference of two infinities is NaN, which is no step
        steps |= _steps_along_lead(values, lead_minutes, max_hourly) * ALONG_LEAD
        steps |= _steps_between_runs(values, init_times, lead_minutes, max_hourly) * BETWEEN_RUNS
    return steps


def preceding_values(
    values: NDArray[np.float32], init_times: NDArray[np.datetime64], lead_minutes: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the values that each value is compared with.

    Parameters
    ----------
    values, init_times, lead_minutes
        As for :func:`step_flags`.

    Returns
    -------
    along_lead, between_runs : ndarray of float32, dims (init_time, lead_time, point)
        Value at the previous lead time, and of the previous run at the same valid time; NaN if none exists.
    """
    along, between = np.full_like(values, np.nan), np.full_like(values, np.nan)
    along[:, 1:] = values[:, :-1]
    for _, runs, leads, earlier in _matching_runs(init_times, lead_minutes):
        between[np.ix_(runs, leads)] = values[np.ix_(runs - 1, earlier)]
    return along, between


def _steps_along_lead(values: NDArray[np.float32], lead_minutes: Sequence[int], max_hourly: float) -> NDArray[np.bool_]:
    steps = np.zeros(values.shape, dtype=bool)

    def is_step(lead: int, earlier: int) -> NDArray[np.bool_]:
        allowed = _allowed_step(max_hourly, lead_minutes[lead] - lead_minutes[earlier])
        exceeds: NDArray[np.bool_] = np.abs(values[:, lead] - values[:, earlier]) > allowed
        return exceeds

    for lead in range(1, values.shape[1]):
        steps[:, lead] = is_step(lead, lead - 1)
        if steps[:, lead - 1].any():
            steps[:, lead] &= ~steps[:, lead - 1] | is_step(lead, lead - 2)
    return steps


def _steps_between_runs(
    values: NDArray[np.float32], init_times: NDArray[np.datetime64], lead_minutes: Sequence[int], max_hourly: float
) -> NDArray[np.bool_]:
    steps = np.zeros(values.shape, dtype=bool)
    for minutes, runs, leads, earlier in _matching_runs(init_times, lead_minutes):
        change = values[np.ix_(runs, leads)] - values[np.ix_(runs - 1, earlier)]
        steps[np.ix_(runs, leads)] = np.abs(change) > _allowed_step(max_hourly, minutes)
    return steps


def _allowed_step(max_hourly: float, minutes: int) -> np.float32:
    return np.float32(max_hourly * np.sqrt(minutes / 60))


def _matching_runs(
    init_times: NDArray[np.datetime64], lead_minutes: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield minutes since the previous run, the runs, and lead time positions of equal valid time in both runs."""
    since_previous = np.diff(init_times.astype("datetime64[m]")).astype(np.int64)
    position = {lead: k for k, lead in enumerate(lead_minutes)}
    for minutes in np.unique(since_previous).tolist():
        pairs = [(k, position[lead + minutes]) for k, lead in enumerate(lead_minutes) if lead + minutes in position]
        if pairs:
            leads, earlier = np.array(pairs, dtype=np.int64).T
            yield minutes, np.flatnonzero(since_previous == minutes) + 1, leads, earlier
