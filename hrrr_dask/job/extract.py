"""From messages to the values of each variable at the points, and the gaps among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import Variable, companion_of
from hrrr_dask.decode import Engine
from hrrr_dask.errors import ArchiveError, DecodeError
from hrrr_dask.grid.interpolation import combine
from hrrr_dask.grid.projection import Grid, rotate_to_earth
from hrrr_dask.records import Cells

__all__ = ["Placement", "point_values", "wanted_messages"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The points on the grid, with all that does not change from file to file."""

    cells: Cells
    """Which cells serve which point."""
    angle: NDArray[np.float64]
    """dims (point, neighbour): from the grid's x axis to east, at each cell [rad]."""
    wanted: NDArray[np.int64]
    """dims (cell,): the cells, each once and ascending, as decoders like them."""
    place: NDArray[np.intp]
    """dims (point, neighbour): where among them each is."""

    @classmethod
    def of(cls, grid: Grid, cells: Cells) -> Placement:
        """Prepare cells for repeated use."""
        _, longitude = grid.latlon(cells.index // grid.nx, cells.index % grid.nx)
        wanted, place = np.unique(cells.index, return_inverse=True)
        return cls(cells, grid.wind_angle(longitude), wanted, place.reshape(cells.index.shape))


def wanted_messages(variables: Sequence[Variable]) -> tuple[Selector, ...]:
    """The messages that some variables need, each once.

    A component of a vector needs the other one too, because only together they can be turned.
    """
    own = [variable.selector for variable in variables]
    companions = [companion_of(selector) for selector in own]
    return tuple(dict.fromkeys([*own, *(companion[0] for companion in companions if companion)]))


def point_values(
    variables: Sequence[Variable],
    messages: Mapping[Selector, bytes | memoryview],
    gaps: Mapping[Selector, ArchiveError],
    placement: Placement,
    engine: Engine,
) -> tuple[NDArray[np.float32], dict[str, ArchiveError], dict[str, str]]:
    """Decode, turn and combine.

    Parameters
    ----------
    variables : sequence of Variable
        What is wanted.
    messages : mapping of Selector to bytes or memoryview
        Checked messages, those of companions included.
    gaps : mapping of Selector to ArchiveError
        Why a message is missing.
    placement : Placement
        The points on the grid.
    engine : Engine
        Decoder.

    Returns
    -------
    values : ndarray of float32, dims (variable, point)
        NaN for a variable that is missing [the variable's units].
    missing : dict of str to ArchiveError
        Variable name to why.
    engines : dict of str to str
        Name of each other variable to that of the engine that decoded it.
    """
    cells = placement.cells
    decoded: dict[Selector, NDArray[np.float32] | ArchiveError] = dict(gaps)
    used: dict[Selector, str] = {}
    for selector, message in messages.items():
        chosen = engine.engine_for(message)
        used[selector] = chosen.name
        try:
            decoded[selector] = chosen.points(message, placement.wanted)[placement.place]
        except DecodeError as error:
            decoded[selector] = error
    values = np.full((len(variables), len(cells.index)), np.nan, dtype=np.float32)
    missing: dict[str, ArchiveError] = {}
    for v, variable in enumerate(variables):
        field = _earth_relative(variable.selector, decoded, placement)
        if isinstance(field, ArchiveError):
            missing[variable.name] = field
        else:
            values[v] = combine(field, cells.weight)
    engines = {each.name: used[each.selector] for each in variables if each.name not in missing}
    return values, missing, engines


def _earth_relative(
    selector: Selector, decoded: Mapping[Selector, NDArray[np.float32] | ArchiveError], placement: Placement
) -> NDArray[np.floating] | ArchiveError:
    """The field at the cells, dims (point, neighbour); a vector's component is turned to east or north."""
    field = decoded[selector]
    companion = companion_of(selector)
    if companion is None or isinstance(field, ArchiveError):
        return field
    other, axis = companion
    partner = decoded[other]
    if isinstance(partner, ArchiveError):
        return type(partner)(f"{selector} cannot be turned to earth-relative: {partner}")
    x, y = (field, partner) if axis == 0 else (partner, field)
    return rotate_to_earth(x, y, placement.angle)[axis]
