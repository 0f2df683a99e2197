"""Which values are far from what the file before said: along lead time, and from run to run. Pure.

A quantity changes by so much in an hour, and by the root of the hours in several, as a random walk does. What is far
more than that is flagged, beside the values, for people to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.limits import limits_of
from hrrr_dask.catalog.variables import Variable
from hrrr_dask.quality.flags import STEP_FLAGS

__all__ = ["STEP_FACTOR", "step_flags", "values_before"]

STEP_FACTOR: Final = 5.0
"""A step is flagged beyond so many times the hourly step; on the day that those were measured on, the largest stayed
below three quarters of that, but for one cell without moisture."""

ALONG_LEAD, BETWEEN_RUNS = (np.uint16(flag.mask) for flag in STEP_FLAGS.values())


def step_flags(
    values: NDArray[np.float32],
    variable: Variable,
    init_times: NDArray[np.datetime64],
    lead_hours: Sequence[int],
    flags: NDArray[np.uint16] | None = None,
) -> NDArray[np.uint16]:
    """Flag values that are far from the lead time before, or from what the run before said for the same time.

    Parameters
    ----------
    values : ndarray of float32, dims (init_time, lead_time, point)
        [unit of the catalogue].
    variable : Variable
        Which one; nothing is said on one without an hourly step in :mod:`hrrr_dask.catalog.limits`.
    init_times : ndarray of datetime64, dims (init_time,)
        Ascending, UTC.
    lead_hours : sequence of int
        Ascending [h].
    flags : ndarray of uint16, dims (init_time, lead_time, point), optional
        Those of :mod:`hrrr_dask.quality.flags`: what has any makes no step, neither to it nor from it.

    Returns
    -------
    ndarray of uint16, dims (init_time, lead_time, point)
        The masks of :data:`STEP_FLAGS`, added up. A step is flagged at its end, and not again where it returns to
        where it came from. What is missing before or after makes no step.

    Raises
    ------
    ValueError
        If the shapes do not fit one another.
    """
    if values.ndim != 3 or values.shape[:2] != (len(init_times), len(lead_hours)):
        raise ValueError(
            f"values of shape {values.shape} have dims (init_time, lead_time, point), "
            f"not {len(init_times)} runs and {len(lead_hours)} lead times"
        )
    steps = np.zeros(values.shape, dtype=np.uint16)
    limits = limits_of(variable.selector)
    if limits is None or limits.hourly_step is None:
        return steps
    if flags is not None and flags.any():
        values = np.where(flags == 0, values, np.float32(np.nan))
    most = STEP_FACTOR * limits.hourly_step
    with np.errstate(invalid="ignore"):  # an infinity is far from any number, and from itself nothing is known
        steps |= _steps_along_lead(values, np.asarray(lead_hours), most) * ALONG_LEAD
        steps |= _steps_between_runs(values, init_times, lead_hours, most) * BETWEEN_RUNS
    return steps


def values_before(
    values: NDArray[np.float32], init_times: NDArray[np.datetime64], lead_hours: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What each value is compared with.

    Parameters
    ----------
    values, init_times, lead_hours
        As for :func:`step_flags`.

    Returns
    -------
    along_lead, between_runs : ndarray of float32, dims (init_time, lead_time, point)
        The value of the lead time before, and that of the run before for the same valid time; NaN where there is none.
    """
    along, between = np.full_like(values, np.nan), np.full_like(values, np.nan)
    along[:, 1:] = values[:, :-1]
    for _, runs, own, earlier in _pairs(init_times, lead_hours):
        between[np.ix_(runs, own)] = values[np.ix_(runs - 1, earlier)]
    return along, between


def _steps_along_lead(values: NDArray[np.float32], hours: NDArray[np.int64], most: float) -> NDArray[np.bool_]:
    steps = np.zeros(values.shape, dtype=bool)

    def far(lead: int, earlier: int) -> NDArray[np.bool_]:
        allowed = np.float32(most * np.sqrt(hours[lead] - hours[earlier]))
        apart: NDArray[np.bool_] = np.abs(values[:, lead] - values[:, earlier]) > allowed
        return apart

    for lead in range(1, values.shape[1]):
        steps[:, lead] = far(lead, lead - 1)
        if steps[:, lead - 1].any():
            steps[:, lead] &= ~steps[:, lead - 1] | far(lead, lead - 2)
    return steps


def _steps_between_runs(
    values: NDArray[np.float32], init_times: NDArray[np.datetime64], lead_hours: Sequence[int], most: float
) -> NDArray[np.bool_]:
    steps = np.zeros(values.shape, dtype=bool)
    for gap, runs, own, earlier in _pairs(init_times, lead_hours):
        apart = values[np.ix_(runs, own)] - values[np.ix_(runs - 1, earlier)]
        steps[np.ix_(runs, own)] = np.abs(apart) > np.float32(most * np.sqrt(gap))
    return steps


def _pairs(
    init_times: NDArray[np.datetime64], lead_hours: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Hours between a run and the one before, such runs, and positions of lead times that mean the same moment."""
    hours = np.diff(init_times.astype("datetime64[h]")).astype(np.int64)
    place = {hour: k for k, hour in enumerate(lead_hours)}
    for gap in np.unique(hours).tolist():
        pairs = [(k, place[hour + gap]) for k, hour in enumerate(lead_hours) if hour + gap in place]
        if pairs:
            own, earlier = np.array(pairs, dtype=np.int64).T
            yield gap, np.flatnonzero(hours == gap) + 1, own, earlier
