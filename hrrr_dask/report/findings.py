"""Collects findings about a store's values block by block: counts, ranges, and the most extreme examples. Pure."""

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
from hrrr_dask.report.results import (
    Assessment,
    Example,
    FlagFinding,
    LeadFinding,
    PointFinding,
    RunFinding,
    VariableFinding,
)

__all__ = ["ALL_FLAGS", "Findings"]

ALL_FLAGS: Final[tuple[Flag, ...]] = (*FLAGS.values(), *STEP_FLAGS.values())
"""Flags of both tables, in their order."""

EXAMPLES: Final = 10
"""Maximum number of examples in an assessment."""

SAME_KIND: Final = 3
"""Maximum number of examples with the same flag and variable, so that frequent ones do not hide rare ones."""

WORST: Final = 5
"""Maximum number of points and runs in an assessment."""

PointCoordinates = tuple[Sequence[str], NDArray[np.float64], NDArray[np.float64]]
"""Ids, latitudes and longitudes of points [degrees north and east]."""


NO_DATA: Final = np.uint16(FLAGS["no-data-sentinel"].mask)
"""Values that mean "no data" are counted separately: they are not implausible."""

_Rank = tuple[float, int, int, int]
"""Minus the extremity, then run, lead time and point, so that the order of blocks does not matter."""


@dataclass(frozen=True, slots=True)
class _Extreme:
    """A value that may become an example."""

    rank: _Rank
    row: int
    value: float
    mask: int
    before: float | None


class Findings:
    """Collects findings from blocks of values, without keeping the values.

    Parameters
    ----------
    variables : sequence of Variable
        Variables of the store.
    places : tuple
        Ids, latitudes and longitudes of the points.
    init_times : ndarray of datetime64, dims (init_time,)
        Ascending, UTC, one or more.
    lead_hours : sequence of int
        Ascending [h].
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        places: PointCoordinates,
        init_times: NDArray[np.datetime64],
        lead_hours: Sequence[int],
    ) -> None:
        self.variables = tuple(variables)
        self.columns: Columns = picture_columns(init_times.astype("datetime64[s]"))
        self.looked: NDArray[np.int64] = np.zeros((self.columns.n, len(variables)), dtype=np.int64)
        """Existing values, dims (column, variable)."""
        self.counts: NDArray[np.int64] = np.zeros((*self.looked.shape, len(ALL_FLAGS) + 1), dtype=np.int64)
        """Values by flag, with all flagged values last; dims (column, variable, flag + 1)."""
        self.lead_hours = tuple(lead_hours)
        self._inits = init_times.astype("datetime64[s]")
        self._row = {variable.name: k for k, variable in enumerate(variables)}
        self._places = places
        n_points = len(places[0])
        self._missing = np.zeros(len(variables), dtype=np.int64)
        self._range = np.full((len(variables), 2), [np.inf, -np.inf])
        self._sum, self._finite = np.zeros(len(variables)), np.zeros(len(variables), dtype=np.int64)
        self._by_run = np.zeros(len(init_times), dtype=np.int64)
        self._by_lead = np.zeros((len(lead_hours), 2), dtype=np.int64)
        self._by_point = np.zeros(n_points, dtype=np.int64)
        self._at_point = np.zeros((len(variables), len(ALL_FLAGS), n_points), dtype=bool)
        self._kept: dict[tuple[int, int], list[_Extreme]] = {}

    def add(
        self,
        variable: Variable,
        values: NDArray[np.float32],
        flags: NDArray[np.uint16],
        *,
        first_run: int,
        first_point: int,
        tried: NDArray[np.bool_],
        known: int = 0,
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
        tried : ndarray of bool, dims (init_time, lead_time)
            Files in which the variable was requested.
        known : int
            Runs at the start of the block that were added before, and are only needed for the following steps.
        """
        row = self._row[variable.name]
        before = self._before(values, first_run) if flags[known:].any() else ()
        first_run, values, flags, tried = first_run + known, values[known:], flags[known:], tried[known:]
        there = ~np.isnan(values)
        runs, points = slice(first_run, first_run + len(values)), slice(first_point, first_point + values.shape[2])
        self._missing[row] += np.count_nonzero(tried) * values.shape[2] - np.count_nonzero(there & tried[..., None])
        np.add.at(self.looked[:, row], self.columns.of_run[runs], there.sum(axis=(1, 2)))
        self._by_lead[:, 0] += there.sum(axis=(0, 2))
        self._add_range(row, values[np.isfinite(values) & ((flags & NO_DATA) == 0)])
        if flags.any():
            self._add_flags(row, flags, runs, points)
            self._add_extremes(row, values, flags, [step[known:] for step in before], first_run, first_point)

    def _add_range(self, row: int, finite: NDArray[np.float32]) -> None:
        if finite.size:
            low, high = self._range[row]
            self._range[row] = min(low, float(finite.min())), max(high, float(finite.max()))
            self._sum[row] += finite.sum(dtype=np.float64)
            self._finite[row] += finite.size

    def _add_flags(self, row: int, flags: NDArray[np.uint16], runs: slice, points: slice) -> None:
        column = self.columns.of_run[runs]
        for k, flag in enumerate(ALL_FLAGS):
            having = (flags & np.uint16(flag.mask)) != 0
            if having.any():
                np.add.at(self.counts[:, row, k], column, having.sum(axis=(1, 2)))
                self._at_point[row, k, points] |= having.any(axis=(0, 1))
        having = (flags & ~NO_DATA) != 0
        np.add.at(self.counts[:, row, -1], column, having.sum(axis=(1, 2)))
        self._by_run[runs] += having.sum(axis=(1, 2))
        self._by_lead[:, 1] += having.sum(axis=(0, 2))
        self._by_point[points] += having.sum(axis=(0, 1))

    def _before(self, values: NDArray[np.float32], first_run: int) -> tuple[NDArray[np.float32], ...]:
        return preceding_values(values, self._inits[first_run : first_run + len(values)], self.lead_hours)

    def _add_extremes(
        self,
        row: int,
        values: NDArray[np.float32],
        flags: NDArray[np.uint16],
        steps: Sequence[NDArray[np.float32]],
        first_run: int,
        first_point: int,
    ) -> None:
        """Keep the most extreme values of each flag."""
        for k, flag in enumerate(ALL_FLAGS):
            at = np.flatnonzero(flags & np.uint16(flag.mask))
            if not at.size:
                continue
            own, before = values.ravel()[at].astype(np.float64), np.full(at.shape, np.nan)
            if flag.name in STEP_FLAGS:
                before = steps[k - len(FLAGS)].ravel()[at].astype(np.float64)
            extreme = self._extremity(row, own, before)
            kept = self._kept.setdefault((k, row), [])
            for j in np.argsort(-extreme, kind="stable")[:SAME_KIND].tolist():
                run, lead, point = (int(index) for index in np.unravel_index(at[j], values.shape))
                rank = (-float(extreme[j]), first_run + run, lead, first_point + point)
                earlier = None if np.isnan(before[j]) else float(before[j])
                kept.append(_Extreme(rank, row, float(own[j]), int(flags[run, lead, point]), earlier))
            kept.sort(key=lambda one: one.rank)
            del kept[SAME_KIND:]

    def _extremity(self, row: int, own: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how extreme values are: in multiples of the allowed step, or of half the range of the limits."""
        limits = find_limits(self.variables[row].selector)
        if limits is None:
            return np.zeros(len(own))
        middle, half = (limits.low + limits.high) / 2, (limits.high - limits.low) / 2
        most = STEP_FACTOR * (limits.hourly_step or np.inf)
        return np.where(np.isnan(before), np.abs(own - middle) / half, np.abs(own - before) / most)

    def assessment(self, store: str, files: int) -> Assessment:
        """Make the assessment.

        Parameters
        ----------
        store : str
            URL of the store.
        files : int
            Number of files with at least one value.
        """
        any_flag = self.counts[..., -1].sum(axis=0)
        return Assessment(
            store=store,
            first_init_time=self._inits[0].item(),
            last_init_time=self._inits[-1].item(),
            n_points=len(self._by_point),
            files=files,
            values=int(self.looked.sum()),
            missing=int(self._missing.sum()),
            flagged=int(any_flag.sum()),
            variables=tuple(self._variable_finding(k, int(any_flag[k])) for k in range(len(self.variables))),
            flags=self._flag_findings(),
            points=self._worst_points(),
            runs=tuple(RunFinding(self._inits[k].item(), int(self._by_run[k])) for k in _largest(self._by_run)[:WORST]),
            leads=tuple(
                LeadFinding(lead, int(values), int(flagged))
                for lead, (values, flagged) in zip(self.lead_hours, self._by_lead, strict=True)
            ),
            examples=self._examples(),
        )

    def _variable_finding(self, row: int, flagged: int) -> VariableFinding:
        variable, n = self.variables[row], int(self._finite[row])
        low, high = (float(bound) for bound in self._range[row])
        return VariableFinding(
            name=variable.name,
            units=variable.units,
            values=int(self.looked[:, row].sum()),
            missing=int(self._missing[row]),
            flagged=flagged,
            minimum=low if n else None,
            maximum=high if n else None,
            mean=float(self._sum[row]) / n if n else None,
        )

    def _flag_findings(self) -> tuple[FlagFinding, ...]:
        totals = self.counts.sum(axis=0)
        order = sorted(self._kept, key=lambda key: (key[0], -totals[key[1], key[0]], key[1]))
        return tuple(
            FlagFinding(
                flag=ALL_FLAGS[k].name,
                variable=self.variables[row].name,
                values=int(totals[row, k]),
                points=int(self._at_point[row, k].sum()),
                worst=self._example(self._kept[k, row][0]),
            )
            for k, row in order
        )

    def _worst_points(self) -> tuple[PointFinding, ...]:
        ids, latitude, longitude = self._places
        return tuple(
            PointFinding(str(ids[k]), float(latitude[k]), float(longitude[k]), int(self._by_point[k]))
            for k in _largest(self._by_point)[:WORST]
        )

    def _examples(self) -> tuple[Example, ...]:
        """Return the examples, each value once even if it has several flags."""
        there = (one for kept in self._kept.values() for one in kept if one.mask & ~int(NO_DATA))
        ranked = sorted(there, key=lambda one: (one.rank, one.row))
        seen: set[tuple[int, ...]] = set()
        kinds: Counter[tuple[int, str]] = Counter()
        chosen: list[Example] = []
        for one in ranked:
            value, own = (one.row, *one.rank[1:]), [(one.row, name) for name in flag_names(one.mask)]
            if len(chosen) < EXAMPLES and value not in seen and max(kinds[kind] for kind in own) < SAME_KIND:
                chosen.append(self._example(one))
                kinds.update(own)
            seen.add(value)
        return tuple(chosen)

    def _example(self, one: _Extreme) -> Example:
        _, run, lead, point = one.rank
        ids, latitude, longitude = self._places
        variable = self.variables[one.row]
        return Example(
            variable=variable.name,
            value=one.value,
            units=variable.units,
            flags=flag_names(one.mask),
            init_time=self._inits[run].item(),
            lead_hours=self.lead_hours[lead],
            point_id=str(ids[point]),
            latitude=float(latitude[point]),
            longitude=float(longitude[point]),
            before=one.before,
        )


def _largest(counts: NDArray[np.int64]) -> list[int]:
    """Return the positions of non-zero counts, largest first, equal ones in order."""
    order = np.argsort(-counts, kind="stable")
    return [k for k in order.tolist() if counts[k]]
