"""Collects quality statistics block by block: counts of flags, ranges, and the most extreme examples. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.limits import find_limits
from hrrr_dask.catalog.variables import Variable
from hrrr_dask.ledger.completeness import Columns, picture_columns
from hrrr_dask.quality.flags import FLAGS, STEP_FLAGS, Flag, flag_names
from hrrr_dask.quality.steps import STEP_FACTOR, preceding_values
from hrrr_dask.report.assessment import (
    Assessment,
    Example,
    FlagFinding,
    LeadFinding,
    PointFinding,
    RunFinding,
    VariableFinding,
)

__all__ = ["ALL_FLAGS", "QualityFindings"]

ALL_FLAGS: Final[tuple[Flag, ...]] = (*FLAGS.values(), *STEP_FLAGS.values())
"""All flags, in the order of both tables."""

MAX_EXAMPLES: Final = 10
"""Maximum number of examples in an assessment."""

MAX_EXAMPLES_PER_KIND: Final = 3
"""Maximum number of examples with the same flag and variable, so that frequent ones do not hide rare ones."""

MAX_WORST: Final = 5
"""Maximum number of points and runs in an assessment."""

PointCoordinates = tuple[Sequence[str], NDArray[np.float64], NDArray[np.float64]]
"""Ids, latitudes and longitudes of points [degrees north and east]."""

NO_DATA: Final = np.uint16(FLAGS["no-data-sentinel"].mask)
"""Mask of values that mean "no data". They are not implausible, and are counted separately."""

_Rank = tuple[float, int, int, int]
"""Sort key: negative extremity, then run, lead time and point, so that the order of blocks does not matter."""


@dataclass(frozen=True, slots=True)
class _Extreme:
    """A flagged value that may become an example."""

    rank: _Rank
    variable: int
    """Position of the variable."""
    value: float
    mask: int
    before: float | None
    """For a step: the value before it."""


class QualityFindings:
    """Collects quality statistics of blocks of values, without keeping the values.

    Parameters
    ----------
    variables : sequence of Variable
        Variables of the store.
    points : tuple
        Ids, latitudes and longitudes of the points.
    init_times : ndarray of datetime64, dims (init_time,)
        Ascending, UTC, one or more.
    lead_minutes : sequence of int
        Ascending [min].
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        points: PointCoordinates,
        init_times: NDArray[np.datetime64],
        lead_minutes: Sequence[int],
    ) -> None:
        self.variables = tuple(variables)
        self.columns: Columns = picture_columns(init_times.astype("datetime64[s]"))
        self.value_counts: NDArray[np.int64] = np.zeros((self.columns.n, len(variables)), dtype=np.int64)
        """Number of values, dims (column, variable)."""
        self.flag_counts: NDArray[np.int64] = np.zeros((*self.value_counts.shape, len(ALL_FLAGS) + 1), dtype=np.int64)
        """Number of values by flag, last of any flag but ``no-data-sentinel``; dims (column, variable, flag + 1)."""
        self.lead_minutes = tuple(lead_minutes)
        self._step_share = np.sqrt(np.minimum(np.diff(lead_minutes, prepend=-60), 60) / 60)
        """Step along lead time that is allowed, as a share of that within an hour, at most 1; dims (lead_time,)."""
        self._inits = init_times.astype("datetime64[s]")
        self._position = {variable.name: k for k, variable in enumerate(variables)}
        self._points = points
        n_points = len(points[0])
        self._missing = np.zeros(len(variables), dtype=np.int64)
        self._range = np.full((len(variables), 2), [np.inf, -np.inf])
        self._sum, self._n_finite = np.zeros(len(variables)), np.zeros(len(variables), dtype=np.int64)
        self._by_run = np.zeros(len(init_times), dtype=np.int64)
        self._by_lead = np.zeros((len(lead_minutes), 2), dtype=np.int64)
        self._by_point = np.zeros(n_points, dtype=np.int64)
        self._has_flag = np.zeros((len(variables), len(ALL_FLAGS), n_points), dtype=bool)
        self._extremes: dict[tuple[int, int], list[_Extreme]] = {}

    def add(
        self,
        variable: Variable,
        values: NDArray[np.float32],
        flags: NDArray[np.uint16],
        *,
        first_run: int,
        first_point: int,
        attempted: NDArray[np.bool_],
        overlap: int = 0,
    ) -> None:
        """Add one block of one variable.

        Parameters
        ----------
        variable : Variable
            The variable.
        values : ndarray of float32, dims (init_time, lead_time, point)
            Values [unit of the variable].
        flags : ndarray of uint16, dims (init_time, lead_time, point)
            Flags of the values, of both tables.
        first_run, first_point : int
            Position of the block.
        attempted : ndarray of bool, dims (init_time, lead_time)
            Files from which the variable was requested.
        overlap : int
            Number of runs at the start of the block that were added before; only the steps after them use them.
        """
        row = self._position[variable.name]
        before: tuple[NDArray[np.float32], ...] = ()
        if flags[overlap:].any():
            before = preceding_values(values, self._inits[first_run : first_run + len(values)], self.lead_minutes)
        values, flags, attempted = values[overlap:], flags[overlap:], attempted[overlap:]
        first_run += overlap
        present = ~np.isnan(values)
        runs, points = slice(first_run, first_run + len(values)), slice(first_point, first_point + values.shape[2])
        self._missing[row] += np.count_nonzero(attempted[..., None] & ~present)
        np.add.at(self.value_counts[:, row], self.columns.of_run[runs], present.sum(axis=(1, 2)))
        self._by_lead[:, 0] += present.sum(axis=(0, 2))
        self._add_statistics(row, values[np.isfinite(values) & ((flags & NO_DATA) == 0)])
        if flags.any():
            self._add_flags(row, flags, runs, points)
            self._add_extremes(row, values, flags, [step[overlap:] for step in before], first_run, first_point)

    def _add_statistics(self, row: int, finite: NDArray[np.float32]) -> None:
        if finite.size:
            low, high = self._range[row]
            self._range[row] = min(low, float(finite.min())), max(high, float(finite.max()))
            self._sum[row] += finite.sum(dtype=np.float64)
            self._n_finite[row] += finite.size

    def _add_flags(self, row: int, flags: NDArray[np.uint16], runs: slice, points: slice) -> None:
        column = self.columns.of_run[runs]
        for k, flag in enumerate(ALL_FLAGS):
            flagged = (flags & np.uint16(flag.mask)) != 0
            if flagged.any():
                np.add.at(self.flag_counts[:, row, k], column, flagged.sum(axis=(1, 2)))
                self._has_flag[row, k, points] |= flagged.any(axis=(0, 1))
        flagged = (flags & ~NO_DATA) != 0
        np.add.at(self.flag_counts[:, row, -1], column, flagged.sum(axis=(1, 2)))
        self._by_run[runs] += flagged.sum(axis=(1, 2))
        self._by_lead[:, 1] += flagged.sum(axis=(0, 2))
        self._by_point[points] += flagged.sum(axis=(0, 1))

    def _add_extremes(
        self,
        row: int,
        values: NDArray[np.float32],
        flags: NDArray[np.uint16],
        preceding: Sequence[NDArray[np.float32]],
        first_run: int,
        first_point: int,
    ) -> None:
        """Keep the most extreme values of each flag."""
        for k, flag in enumerate(ALL_FLAGS):
            at = np.flatnonzero(flags & np.uint16(flag.mask))
            if not at.size:
                continue
            extreme, before = values.ravel()[at].astype(np.float64), np.full(at.shape, np.nan)
            share = np.ones(at.shape)
            if flag.name in STEP_FLAGS:
                before = preceding[k - len(FLAGS)].ravel()[at].astype(np.float64)
            if flag.name == "step-along-lead-time":
                share = self._step_share[np.unravel_index(at, values.shape)[1]]
            extremity = self._extremity(row, extreme, before, share)
            kept = self._extremes.setdefault((k, row), [])
            for j in np.argsort(-extremity, kind="stable")[:MAX_EXAMPLES_PER_KIND].tolist():
                run, lead, point = (int(index) for index in np.unravel_index(at[j], values.shape))
                rank = (-float(extremity[j]), first_run + run, lead, first_point + point)
                earlier = None if np.isnan(before[j]) else float(before[j])
                kept.append(_Extreme(rank, row, float(extreme[j]), int(flags[run, lead, point]), earlier))
            kept.sort(key=lambda one: one.rank)
            del kept[MAX_EXAMPLES_PER_KIND:]

    def _extremity(
        self, row: int, values: NDArray[np.float64], before: NDArray[np.float64], share: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rate values in multiples of a share of the allowed hourly step, or of half the range between the limits."""
        limits = find_limits(self.variables[row].selector)
        if limits is None:
            return np.zeros(len(values))
        middle, half = (limits.low + limits.high) / 2, (limits.high - limits.low) / 2
        max_step = STEP_FACTOR * (limits.hourly_step or np.inf)
        return np.where(np.isnan(before), np.abs(values - middle) / half, np.abs(values - before) / (max_step * share))

    def to_assessment(self, store: str, files: int) -> Assessment:
        """Summarise the findings.

        Parameters
        ----------
        store : str
            URL of the store.
        files : int
            Number of files with at least one value.
        """
        any_flag = self.flag_counts[..., -1].sum(axis=0)
        return Assessment(
            store=store,
            first_init_time=self._inits[0].item(),
            last_init_time=self._inits[-1].item(),
            n_points=len(self._by_point),
            files=files,
            values=int(self.value_counts.sum()),
            missing=int(self._missing.sum()),
            flagged=int(any_flag.sum()),
            variables=tuple(self._variable_finding(k, int(any_flag[k])) for k in range(len(self.variables))),
            flags=self._flag_findings(),
            points=self._worst_points(),
            runs=self._worst_runs(),
            leads=tuple(
                LeadFinding(lead, int(values), int(flagged))
                for lead, (values, flagged) in zip(self.lead_minutes, self._by_lead, strict=True)
            ),
            examples=self._examples(),
        )

    def _variable_finding(self, row: int, flagged: int) -> VariableFinding:
        variable, n = self.variables[row], int(self._n_finite[row])
        low, high = (float(bound) for bound in self._range[row])
        return VariableFinding(
            name=variable.name,
            units=variable.units,
            values=int(self.value_counts[:, row].sum()),
            missing=int(self._missing[row]),
            flagged=flagged,
            minimum=low if n else None,
            maximum=high if n else None,
            mean=float(self._sum[row]) / n if n else None,
        )

    def _flag_findings(self) -> tuple[FlagFinding, ...]:
        totals = self.flag_counts.sum(axis=0)
        order = sorted(self._extremes, key=lambda key: (key[0], -totals[key[1], key[0]], key[1]))
        return tuple(
            FlagFinding(
                flag=ALL_FLAGS[k].name,
                variable=self.variables[row].name,
                values=int(totals[row, k]),
                points=int(self._has_flag[row, k].sum()),
                worst=self._example(self._extremes[k, row][0]),
            )
            for k, row in order
        )

    def _worst_points(self) -> tuple[PointFinding, ...]:
        ids, latitude, longitude = self._points
        return tuple(
            PointFinding(str(ids[k]), float(latitude[k]), float(longitude[k]), int(self._by_point[k]))
            for k in _largest(self._by_point)[:MAX_WORST]
        )

    def _worst_runs(self) -> tuple[RunFinding, ...]:
        worst = _largest(self._by_run)[:MAX_WORST]
        return tuple(RunFinding(self._inits[k].item(), int(self._by_run[k])) for k in worst)

    def _examples(self) -> tuple[Example, ...]:
        """Choose the examples; a value with several flags is chosen once."""
        implausible = (one for kept in self._extremes.values() for one in kept if one.mask & ~int(NO_DATA))
        ranked = sorted(implausible, key=lambda one: (one.rank, one.variable))
        seen: set[tuple[int, ...]] = set()
        kinds: Counter[tuple[int, str]] = Counter()
        chosen: list[Example] = []
        for one in ranked:
            position, own_kinds = (one.variable, *one.rank[1:]), [(one.variable, name) for name in flag_names(one.mask)]
            is_rare = max(kinds[kind] for kind in own_kinds) < MAX_EXAMPLES_PER_KIND
            if len(chosen) < MAX_EXAMPLES and position not in seen and is_rare:
                chosen.append(self._example(one))
                kinds.update(own_kinds)
            seen.add(position)
        return tuple(chosen)

    def _example(self, one: _Extreme) -> Example:
        _, run, lead, point = one.rank
        ids, latitude, longitude = self._points
        variable = self.variables[one.variable]
        return Example(
            variable=variable.name,
            value=one.value,
            units=variable.units,
            flags=flag_names(one.mask),
            init_time=self._inits[run].item(),
            lead_minutes=self.lead_minutes[lead],
            point_id=str(ids[point]),
            latitude=float(latitude[point]),
            longitude=float(longitude[point]),
            before=one.before,
        )


def _largest(counts: NDArray[np.int64]) -> list[int]:
    """Return the positions of non-zero counts, largest first; equal counts stay in order."""
    order = np.argsort(-counts, kind="stable")
    return [k for k in order.tolist() if counts[k]]
