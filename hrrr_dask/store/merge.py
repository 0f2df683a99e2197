"""Pieces of files, in any order, laid into a shard: what is there stays, what is new is added. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.planning.layout import Axis
from hrrr_dask.records import Extract

__all__ = ["Piece", "lay", "pieces_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One variable of one file."""

    row: int
    """Position of the init time in its partition."""
    lead: int
    """Position of the lead time."""
    first_point: int
    """The first point that is meant."""
    values: NDArray[np.float32]
    """dims (point,), from ``first_point`` on."""
    complete: bool
    """Whether there are values; if not, it is a gap."""


def pieces_of(
    extracts: Sequence[Extract], axis: Axis, first_init: int, lead_hours: Sequence[int], variables: Iterable[str]
) -> dict[str, list[Piece]]:
    """Sort the extracts of a partition by variable.

    Parameters
    ----------
    extracts : sequence of Extract
        In any order.
    axis : Axis
        The store's axis.
    first_init : int
        Position of the partition's first init time on the axis.
    lead_hours : sequence of int
        The store's lead times [h].
    variables : iterable of str
        Names, in the order that is wanted.

    Returns
    -------
    dict of str to list of Piece
        Only variables that were to be read of any of the files; a list is in the order of the extracts that have it.
    """
    lead_index = {lead: k for k, lead in enumerate(lead_hours)}
    pieces: dict[str, list[Piece]] = {name: [] for name in variables}
    for extract in extracts:
        outcome = extract.outcome
        row = axis.index(outcome.file.init_time) - first_init
        for v, name in enumerate(outcome.wanted):
            piece = Piece(
                row,
                lead_index[outcome.file.lead_hours],
                outcome.first_point,
                extract.values[v],
                name not in outcome.reasons,
            )
            pieces[name].append(piece)
    return {name: own for name, own in pieces.items() if own}


def lay(shard: NDArray[np.float32], pieces: Sequence[Piece], first_point: int) -> list[bool]:
    """Write pieces into a shard.

    Parameters
    ----------
    shard : ndarray of float32, dims (init_time, lead_time, point)
        Changed in place.
    pieces : sequence of Piece
        A gap changes nothing.
    first_point : int
        The shard's first point.

    Returns
    -------
    list of bool
        For each piece, whether all of its values lay in the shard before: of use for gaps.
    """
    there = []
    for piece in pieces:
        assert 0 <= piece.row < len(shard), f"init time {piece.row} is of another partition"
        start = max(piece.first_point, first_point)
        stop = min(piece.first_point + len(piece.values), first_point + shard.shape[2])
        place = shard[piece.row, piece.lead, start - first_point : max(stop, start) - first_point]
        there.append(bool(np.isfinite(place).all()))
        if piece.complete:
            place[...] = piece.values[start - piece.first_point : max(stop, start) - piece.first_point]
    return there
