"""Specifies a store: everything that its documents are derived from, how it grows, and its settings as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.catalog.variables import Variable, parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import ConfigError, PlanError, PointsError
from hrrr_dask.grid.cell_surface import CellSurface
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.grid.point_columns import join_columns, refuse_clashes
from hrrr_dask.grid.points import Points
from hrrr_dask.grid.projection import Grid
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.records import Cells
from hrrr_dask.store.point_rows import decode_points, decode_surface, encode_points, encode_surface

__all__ = [
    "FORMAT_VERSION",
    "MAX_COHORTS",
    "Cohort",
    "Growth",
    "StoreSpec",
    "apply_growth",
    "axis_of",
    "encode_step",
    "first_step",
    "identity",
    "selection_of",
    "settings_of",
    "spec_of",
]

FORMAT_VERSION: Final = 3
"""Version of the format; stores of an older version cannot be continued."""


MAX_COHORTS: Final = 64
"""Maximum number of times that points are added, including the first: one bit each in the ledger's state."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Points that were added together."""

    n_points: int
    """Number of points of the store, including these."""
    digest: str
    """Digest of all those points: ids and coordinates."""
    growth: int
    """Number of the step of growth that added them."""


@dataclass(frozen=True)
class StoreSpec:
    """Specification of a store: what is fixed, and how far it has grown."""

    selection: Selection
    """Variables, lead times, cycles, product, domain and method."""
    points: Points
    """The requested points."""
    cells: Cells
    """Grid cells and weights of the points."""
    grid_section: bytes
    """Section 3 of the messages, the grid of the cells."""
    layout: Layout
    """Sizes of shards and chunks."""
    axis: Axis
    """The init_time axis: first day and cycles."""
    asked_from: int
    """First day that was requested, counted from the first day of the axis [d]."""
    n_days: int
    """Days of the init_time axis [d]."""
    package_version: str
    """Version of hrrr_dask that made the store."""
    sources: tuple[str, ...]
    """Default sources of its files."""
    cohorts: tuple[Cohort, ...] = ()
    """Times that points were added; empty for a store that is not made yet."""
    growth: int = 0
    """Number of the last step of growth."""
    surface: CellSurface | None = None
    """Surface of the points' cells; None in a store that was made without."""
    surface_step: int = 0
    """Number of the last step that has the surface of cells that was unknown before; 0 if there is none."""

    @property
    def grid(self) -> Grid:
        """Grid of the messages."""
        return read_grid(self.grid_section)

    @property
    def n_init(self) -> int:
        """Length of the init_time axis."""
        return self.n_days * len(self.axis.cycles)

    @property
    def span(self) -> int:
        """Number of init times in one partition."""
        return self.layout.partition_days * len(self.axis.cycles)

    @property
    def cohort_sizes(self) -> tuple[int, ...]:
        """Number of points after each time that points were added."""
        return tuple(cohort.n_points for cohort in self.cohorts)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a store must have at least: days, variables, points."""

    asked_from: int | None = None
    """First requested day, counted from the first day of the axis [d]."""
    n_days: int = 0
    """Days of the init_time axis [d]."""
    variables: tuple[Variable, ...] = ()
    """Variables, whether or not the store has them."""
    points: Points | None = None
    """Points, whether or not the store has them."""
    surface: CellSurface | None = None
    """Surface of the cells of these points; None if it is unknown."""
    known: CellSurface | None = None
    """Surface of the cells of the store's first points, which may be unknown in the store."""

    def check(self, spec: StoreSpec, url: str) -> None:
        """Refuse points that the store has at other coordinates, and variables that it has with another selector.

        Also refuses columns of new points that do not go with the store's columns and variables.

        Raises
        ------
        PointsError, ConfigError
            If there are any; names them.
        """
        known = spec.points.coordinates()
        wanted = {} if self.points is None else self.points.coordinates()
        if moved := [point_id for point_id, place in wanted.items() if known.get(point_id, place) != place]:
            raise PointsError(
                f"{', '.join(moved[:5])}: the store has that point_id at other coordinates; give new points new ids"
            )
        selectors = {variable.name: variable.selector for variable in spec.selection.variables}
        for variable in self.variables:
            there = selectors.get(variable.name, variable.selector)
            if there != variable.selector:
                raise ConfigError(
                    f"{url} has {variable.name} as {there}, not {variable.selector}: give the new one another name, "
                    f"NAME={variable.selector}"
                )
            if variable.name.lower() in map(str.lower, spec.points.columns):
                raise ConfigError(
                    f"{url} has a column of points {variable.name}: give the variable another name, "
                    f"NAME={variable.selector}"
                )
        more = self.points.take(self._new(spec)).columns if self.points is not None and self._new(spec) else {}
        columns = join_columns(spec.points.columns, 0, more, 0)  # refuses values of another type
        refuse_clashes(columns, dict.fromkeys(selectors, "variable"))

    def _new(self, spec: StoreSpec) -> list[int]:
        """Return the positions of the points that the store does not have."""
        known = set(spec.points.point_id)
        return [] if self.points is None else [k for k, own in enumerate(self.points.point_id) if own not in known]

    def step_from(self, spec: StoreSpec) -> dict[str, Any]:
        """Return the step of growth that adds what is missing, as JSON; empty if nothing is.

        Raises
        ------
        PlanError
            If points were added too often.
        """
        step: dict[str, Any] = {}
        if self.asked_from is not None and self.asked_from < spec.asked_from:
            step["asked_from"] = self.asked_from
        if self.n_days > spec.n_days:
            step["n_days"] = self.n_days
        names = {variable.name for variable in spec.selection.variables}
        if new := [variable for variable in self.variables if variable.name not in names]:
            step["variables"] = _spelled(new)
        if spec.surface is not None and self.known is not None:
            filled = spec.surface.fill(self.known)
            if filled is not spec.surface:
                step["surface"] = encode_surface(filled)
        if self.points is not None and (later := self._new(spec)):
            _refuse_too_many(spec)
            surface = None
            if spec.surface is not None:
                surface = CellSurface.unknown(len(later)) if self.surface is None else self.surface.take(later)
            step["points"] = encode_points(self.points.take(later), surface)
        return step


def _refuse_too_many(spec: StoreSpec) -> None:
    if len(spec.cohorts) >= MAX_COHORTS:
        raise PlanError(
            f"points were added {len(spec.cohorts) - 1} times to this store, and it cannot tell more additions apart: "
            f"make another store, with all of its points"
        )


def first_step(spec: StoreSpec) -> dict[str, Any]:
    """Return the step that makes a store, as JSON."""
    settings = settings_of(spec)
    del settings["cohorts"], settings["growth"]
    return {**settings, "points": encode_points(spec.points, spec.surface)}


def apply_growth(spec: StoreSpec | None, step: Mapping[str, Any], number: int) -> StoreSpec:
    """Return the specification after one step of growth.

    Parameters
    ----------
    spec : StoreSpec or None
        Specification before; None before the first step.
    step : mapping
        Step of :func:`first_step` or :meth:`Growth.step_from`.
    number : int
        Number of the step.
    """
    points = decode_points(step["points"]) if "points" in step else None
    if spec is None:
        assert points is not None, "the first step has points"
        cohort = Cohort(len(points), points.digest(), number)
        return spec_of({**step, "cohorts": [asdict(cohort)], "growth": number}, points, decode_surface(step["points"]))
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
        surface_step=number if "surface" in step else spec.surface_step,
    )
    if spec.surface is not None and "surface" in step:
        after = replace(after, surface=spec.surface.fill(decode_surface(step["surface"]) or CellSurface.unknown(0)))
    if points is None:
        return after
    together = spec.points.concat(points)
    cohort = Cohort(len(together), together.digest(), number)
    cells = find_point_cells(together, spec.grid_section, selection.method)
    surface = after.surface
    if surface is not None:
        surface = surface.concat(decode_surface(step["points"]) or CellSurface.unknown(len(points)))
    return replace(after, points=together, cells=cells, cohorts=(*spec.cohorts, cohort), surface=surface)


def settings_of(spec: StoreSpec) -> dict[str, Any]:
    """Return the settings in the root document: everything except the coordinates of points."""
    selection = spec.selection
    return {
        "format_version": FORMAT_VERSION,
        "package_version": spec.package_version,
        "product": selection.product,
        "domain": selection.domain,
        "method": selection.method,
        "cycles": list(selection.cycles),
        **_leads(selection),
        "variables": _spelled(selection.variables),
        "source": list(spec.sources),
        "layout": asdict(spec.layout),
        "first_day": f"{spec.axis.first_day:%Y-%m-%d}",
        "asked_from": spec.asked_from,
        "n_days": spec.n_days,
        "cohorts": [asdict(cohort) for cohort in spec.cohorts],
        "growth": spec.growth,
        **({"surface_step": spec.surface_step} if spec.surface_step else {}),
        "grid": spec.grid.describe(),
        "grid_section": spec.grid_section.hex(),
    }


def selection_of(settings: Mapping[str, Any]) -> Selection:
    """Return the selection of a store."""
    return Selection(
        variables=parse_variables(settings["variables"]),
        lead_minutes=_lead_minutes(settings),
        cycles=tuple(settings["cycles"]),
        product=settings["product"],
        domain=settings["domain"],
        method=settings["method"],
    )


def axis_of(settings: Mapping[str, Any]) -> Axis:
    """Return the init_time axis of a store."""
    return Axis(datetime.fromisoformat(settings["first_day"]), tuple(settings["cycles"]))


def spec_of(settings: Mapping[str, Any], points: Points, surface: CellSurface | None = None) -> StoreSpec:
    """Make a specification, the reverse of :func:`settings_of`."""
    selection, section = selection_of(settings), bytes.fromhex(settings["grid_section"])
    return StoreSpec(
        selection=selection,
        points=points,
        cells=find_point_cells(points, section, selection.method),
        grid_section=section,
        layout=Layout(**settings["layout"]),
        axis=axis_of(settings),
        asked_from=int(settings["asked_from"]),
        n_days=int(settings["n_days"]),
        package_version=settings["package_version"],
        sources=tuple(settings["source"]),
        cohorts=tuple(Cohort(**cohort) for cohort in settings["cohorts"]),
        growth=int(settings["growth"]),
        surface=surface,
        surface_step=int(settings.get("surface_step", 0)),
    )


def identity(selection: Selection) -> dict[str, Any]:
    """Return what must be equal to continue a store, as JSON; points and variables can be added."""
    return {
        "product": selection.product,
        "domain": selection.domain,
        "method": selection.method,
        "cycles": list(selection.cycles),
        "lead_minutes": list(selection.lead_minutes),
    }


def encode_step(step: Mapping[str, Any]) -> bytes:
    """Encode a step as an object."""
    return json.dumps(step, indent=1).encode()


def _leads(selection: Selection) -> dict[str, list[int]]:
    """Lead times as JSON: hours where they are whole, as in stores of version 0.1."""
    minutes = selection.lead_minutes
    if any(lead % 60 for lead in minutes):
        return {"lead_minutes": list(minutes)}
    return {"lead_hours": [lead // 60 for lead in minutes]}


def _lead_minutes(settings: Mapping[str, Any]) -> tuple[int, ...]:
    if "lead_minutes" in settings:
        return tuple(settings["lead_minutes"])
    return tuple(60 * hour for hour in settings["lead_hours"])


def _spelled(variables: Sequence[Variable]) -> list[str]:
    return [f"{variable.name}={variable.selector}" for variable in variables]
