"""Decodes messages and computes each variable's values at the points; turns wind to east and north."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import Variable, find_companion
from hrrr_dask.decode import Engine
from hrrr_dask.errors import ArchiveError, DecodeError
from hrrr_dask.grid.interpolation import apply_weights
from hrrr_dask.grid.projection import Grid, rotate_to_earth
from hrrr_dask.records import Cells

__all__ = ["Placement", "compute_point_values", "wanted_messages"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The points on the grid: everything that is the same for all files."""

    cells: Cells
    """Cells and weights of each point."""
    angle: NDArray[np.float64]
    """Angle from the grid's x axis to east at each cell, dims (point, neighbour) [rad]."""
    wanted: NDArray[np.int64]
    """Wanted cells, unique and ascending, dims (cell,)."""
    position: NDArray[np.intp]
    """Index of each neighbour in ``wanted``, dims (point, neighbour)."""

    @classmethod
    def of(cls, grid: Grid, cells: Cells) -> Placement:
        """Prepare cells for repeated use."""
        _, longitude = grid.latlon(cells.index // grid.nx, cells.index % grid.nx)
        wanted, position = np.unique(cells.index, return_inverse=True)
        return cls(cells, grid.wind_angle(longitude), wanted, position.reshape(cells.index.shape))


def wanted_messages(variables: Sequence[Variable]) -> tuple[Selector, ...]:
    """Return the messages that variables need, each once.

    A vector component needs its companion too, because only both together can be turned.
    """
    own = [variable.selector for variable in variables]
    companions = [find_companion(selector) for selector in own]
    return tuple(dict.fromkeys([*own, *(companion[0] for companion in companions if companion)]))


def compute_point_values(
    variables: Sequence[Variable],
    messages: Mapping[Selector, bytes | memoryview],
    gaps: Mapping[Selector, ArchiveError],
    placement: Placement,
    engine: Engine,
) -> tuple[NDArray[np.float32], dict[str, ArchiveError], dict[str, str]]:
    """Decode messages, turn vectors to east and north, and combine cells.

    Parameters
    ----------
    variables : sequence of Variable
        Variables to compute.
    messages : mapping of Selector to bytes or memoryview
        Checked messages, including those of companions.
    gaps : mapping of Selector to ArchiveError
        Reason for each missing message.
    placement : Placement
        The points on the grid.
    engine : Engine
        Decoding engine.

    Returns
    -------
    values : ndarray of float32, dims (variable, point)
        NaN for a variable that is missing [the variable's units].
    missing : dict of str to ArchiveError
        Name of each missing variable to the reason.
    engines : dict of str to str
        Name of each other variable to the engine that decoded it.
    """
    cells = placement.cells
    decoded: dict[Selector, NDArray[np.float32] | ArchiveError] = dict(gaps)
    used: dict[Selector, str] = {}
    for selector, message in messages.items():
        chosen = engine.engine_for(message)
        used[selector] = chosen.name
        try:
            decoded[selector] = chosen.points(message, placement.wanted)[placement.position]
        except DecodeError as error:
            decoded[selector] = error
    values = np.full((len(variables), len(cells.index)), np.nan, dtype=np.float32)
    missing: dict[str, ArchiveError] = {}
    for v, variable in enumerate(variables):
        field = _earth_relative(variable.selector, decoded, placement)
        if isinstance(field, ArchiveError):
            missing[variable.name] = field
        else:
            values[v] = apply_weights(field, cells.weight)
    engines = {each.name: used[each.selector] for each in variables if each.name not in missing}
    return values, missing, engines


def _earth_relative(
    selector: Selector, decoded: Mapping[Selector, NDArray[np.float32] | ArchiveError], placement: Placement
) -> NDArray[np.floating] | ArchiveError:
    """Return the field at the cells, dims (point, neighbour); a vector component is turned to east or north."""
    field = decoded[selector]
    companion = find_companion(selector)
    if companion is None or isinstance(field, ArchiveError):
        return field
    other, axis = companion
    partner = decoded[other]
    if isinstance(partner, ArchiveError):
        return type(partner)(f"{selector} cannot be turned to earth-relative: {partner}")
    x, y = (field, partner) if axis == 0 else (partner, field)
    return rotate_to_earth(x, y, placement.angle)[axis]
