"""What a store is: everything that its documents follow from, how it may grow, and what it says of itself. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from hrrr_dask.archive.grid_probe import place_points
from hrrr_dask.catalog.variables import Variable, parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import ConfigError, PlanError, PointsError
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.grid.points import Points
from hrrr_dask.grid.projection import Grid
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.records import Cells

__all__ = [
    "FORMAT_VERSION",
    "MOST_COHORTS",
    "Cohort",
    "Growth",
    "StoreSpec",
    "axis_of",
    "encode_step",
    "first_step",
    "grown",
    "identity",
    "points_of",
    "selection_of",
    "settings_of",
    "spec_of",
]

FORMAT_VERSION: Final = 3
"""Raised when a store of an older version cannot be continued."""


MOST_COHORTS: Final = 64
"""How often points may come to a store, the first time included: a bit for each, in folding."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Points that were added together."""

    n_points: int
    """Points of the store, these included."""
    digest: str
    """Of all those points: ids and coordinates."""
    growth: int
    """The step of growth that brought them."""


@dataclass(frozen=True)
class StoreSpec:
    """Everything that fixes a store, and how far it has grown."""

    selection: Selection
    """Variables, lead times, cycles, product, domain, method."""
    points: Points
    """The places asked for."""
    cells: Cells
    """The grid cells that serve them."""
    grid_section: bytes
    """Section 3 of the messages that the points were placed on."""
    layout: Layout
    """Sizes of shards and chunks."""
    axis: Axis
    """First day and cycles."""
    asked_from: int
    """The first day that anybody asked for, from the axis's first [d]."""
    n_days: int
    """Days of the init_time axis [d]."""
    package_version: str
    """Of hrrr_dask, when the store was made."""
    sources: tuple[str, ...]
    """Where its files come from unless something else is said."""
    cohorts: tuple[Cohort, ...] = ()
    """Each time that points were added; empty for a store that is to be made."""
    growth: int = 0
    """The last step of growth."""

    @property
    def grid(self) -> Grid:
        """The grid of the messages."""
        return read_grid(self.grid_section)

    @property
    def n_init(self) -> int:
        """Length of the init_time axis."""
        return self.n_days * len(self.axis.cycles)

    @property
    def span(self) -> int:
        """Init times in one partition."""
        return self.layout.partition_days * len(self.axis.cycles)

    @property
    def cohort_sizes(self) -> tuple[int, ...]:
        """Number of points after each time that points were added."""
        return tuple(cohort.n_points for cohort in self.cohorts)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a store is to have at least."""

    asked_from: int | None = None
    """First day that is asked for, from the axis's first [d]."""
    n_days: int = 0
    """Days of the init_time axis [d]."""
    variables: tuple[Variable, ...] = ()
    """Variables, those it has included or not."""
    points: Points | None = None
    """Points, those it has included or not."""

    def check(self, spec: StoreSpec, url: str) -> None:
        """Refuse points that the store has elsewhere, and variables that it has of another selector.

        Raises
        ------
        PointsError, ConfigError
            Saying which.
        """
        known = spec.points.places()
        wanted = {} if self.points is None else self.points.places()
        if moved := [point_id for point_id, place in wanted.items() if known.get(point_id, place) != place]:
            raise PointsError(f"{', '.join(moved[:5])}: the store has that point_id elsewhere; give new points new ids")
        selectors = {variable.name: variable.selector for variable in spec.selection.variables}
        for variable in self.variables:
            there = selectors.get(variable.name, variable.selector)
            if there != variable.selector:
                raise ConfigError(
                    f"{url} has {variable.name} as {there}, not {variable.selector}: give the new one another name, "
                    f"NAME={variable.selector}"
                )

    def step_from(self, spec: StoreSpec) -> dict[str, Any]:
        """The step that leads there, ready for JSON; empty when there is nothing to do.

        Raises
        ------
        PlanError
            If points were added too often already.
        """
        step: dict[str, Any] = {}
        if self.asked_from is not None and self.asked_from < spec.asked_from:
            step["asked_from"] = self.asked_from
        if self.n_days > spec.n_days:
            step["n_days"] = self.n_days
        names = {variable.name for variable in spec.selection.variables}
        if new := [variable for variable in self.variables if variable.name not in names]:
            step["variables"] = _spelled(new)
        if self.points is not None:
            known = set(spec.points.point_id)
            if later := [k for k, point_id in enumerate(self.points.point_id) if point_id not in known]:
                _refuse_too_many(spec)
                step["points"] = _rows(self.points.take(later))
        return step


def _refuse_too_many(spec: StoreSpec) -> None:
    if len(spec.cohorts) >= MOST_COHORTS:
        raise PlanError(
            f"points were added {len(spec.cohorts) - 1} times to this store, and it cannot tell more additions apart: "
            f"make another store, with all of its points"
        )


def first_step(spec: StoreSpec) -> dict[str, Any]:
    """The step that makes a store, ready for JSON."""
    settings = settings_of(spec)
    del settings["cohorts"], settings["growth"]
    return {**settings, "points": _rows(spec.points)}


def grown(spec: StoreSpec | None, step: Mapping[str, Any], number: int) -> StoreSpec:
    """The store after one step of growth.

    Parameters
    ----------
    spec : StoreSpec or None
        The store before; None before the first step.
    step : mapping
        As :func:`first_step` or :meth:`Growth.step_from` gives it.
    number : int
        Which step it is.
    """
    points = _points(step["points"]) if "points" in step else None
    if spec is None:
        assert points is not None, "the first step has points"
        cohort = Cohort(len(points), points.digest(), number)
        return spec_of({**step, "cohorts": [asdict(cohort)], "growth": number}, points)
    selection = spec.selection
    if "variables" in step:
        added = parse_variables(step["variables"])
        selection = replace(selection, variables=(*selection.variables, *added))
    after = replace(
        spec,
        selection=selection,
        asked_from=step.get("asked_from", spec.asked_from),
        n_days=step.get("n_days", spec.n_days),
        growth=number,
    )
    if points is None:
        return after
    together = spec.points.joined(points)
    cohort = Cohort(len(together), together.digest(), number)
    cells = place_points(together, spec.grid_section, selection.method)
    return replace(after, points=together, cells=cells, cohorts=(*spec.cohorts, cohort))


def settings_of(spec: StoreSpec) -> dict[str, Any]:
    """What a store says of itself in its root document: all but the points' places."""
    selection = spec.selection
    return {
        "format_version": FORMAT_VERSION,
        "package_version": spec.package_version,
        "product": selection.product,
        "domain": selection.domain,
        "method": selection.method,
        "cycles": list(selection.cycles),
        "lead_hours": list(selection.lead_hours),
        "variables": _spelled(selection.variables),
        "source": list(spec.sources),
        "layout": asdict(spec.layout),
        "first_day": f"{spec.axis.first_day:%Y-%m-%d}",
        "asked_from": spec.asked_from,
        "n_days": spec.n_days,
        "cohorts": [asdict(cohort) for cohort in spec.cohorts],
        "growth": spec.growth,
        "grid": spec.grid.describe(),
        "grid_section": spec.grid_section.hex(),
    }


def selection_of(settings: Mapping[str, Any]) -> Selection:
    """What a store holds of every run."""
    return Selection(
        variables=parse_variables(settings["variables"]),
        lead_hours=tuple(settings["lead_hours"]),
        cycles=tuple(settings["cycles"]),
        product=settings["product"],
        domain=settings["domain"],
        method=settings["method"],
    )


def axis_of(settings: Mapping[str, Any]) -> Axis:
    """A store's init_time axis."""
    return Axis(datetime.fromisoformat(settings["first_day"]), tuple(settings["cycles"]))


def spec_of(settings: Mapping[str, Any], points: Points) -> StoreSpec:
    """The reverse of :func:`settings_of`."""
    selection, section = selection_of(settings), bytes.fromhex(settings["grid_section"])
    return StoreSpec(
        selection=selection,
        points=points,
        cells=place_points(points, section, selection.method),
        grid_section=section,
        layout=Layout(**settings["layout"]),
        axis=axis_of(settings),
        asked_from=int(settings["asked_from"]),
        n_days=int(settings["n_days"]),
        package_version=settings["package_version"],
        sources=tuple(settings["source"]),
        cohorts=tuple(Cohort(**cohort) for cohort in settings["cohorts"]),
        growth=int(settings["growth"]),
    )


def identity(selection: Selection) -> dict[str, Any]:
    """What must be equal to continue a store, ready for JSON; points and variables may be added."""
    return {
        "product": selection.product,
        "domain": selection.domain,
        "method": selection.method,
        "cycles": list(selection.cycles),
        "lead_hours": list(selection.lead_hours),
    }


def encode_step(step: Mapping[str, Any]) -> bytes:
    """A step as an object."""
    return json.dumps(step, indent=1).encode()


def points_of(steps: Sequence[Mapping[str, Any]]) -> Points:
    """All points that some steps brought, in their order."""
    first, *later = (_points(step["points"]) for step in steps)
    for more in later:
        first = first.joined(more)
    return first


def _spelled(variables: Sequence[Variable]) -> list[str]:
    return [f"{variable.name}={variable.selector}" for variable in variables]


def _rows(points: Points) -> dict[str, list[Any]]:
    return {
        "point_id": list(points.point_id),
        "name": list(points.name),
        "latitude": points.latitude.tolist(),
        "longitude": points.longitude.tolist(),
    }


def _points(rows: Mapping[str, Any]) -> Points:
    return Points(tuple(rows["point_id"]), tuple(rows["name"]), rows["latitude"], rows["longitude"])
