"""Merges the values of files into a shard, in any order: existing values stay, new ones are added. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.planning.layout import Axis
from hrrr_dask.records import Extract

__all__ = ["Piece", "group_pieces", "merge_pieces"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Values of one variable in one file and at one lead time, or their gap."""

    row: int
    """Position of the init time in its partition."""
    lead: int
    """Position of the lead time."""
    first_point: int
    """First point of the values."""
    values: NDArray[np.float32]
    """Values from ``first_point`` on, dims (point,)."""
    complete: bool
    """Whether it has values; otherwise it is a gap."""


def group_pieces(
    extracts: Sequence[Extract], axis: Axis, first_init: int, lead_minutes: Sequence[int], variables: Iterable[str]
) -> dict[str, list[Piece]]:
    """Group the extracts of a partition by variable.

    Parameters
    ----------
    extracts : sequence of Extract
        In any order.
    axis : Axis
        The store's axis.
    first_init : int
        Position of the partition's first init time on the axis.
    lead_minutes : sequence of int
        The store's lead times [min].
    variables : iterable of str
        Names in the requested order.

    Returns
    -------
    dict of str to list of Piece
        Only variables that were requested of at least one file; lists are in the order of the extracts.
    """
    lead_index = {lead: k for k, lead in enumerate(lead_minutes)}
    pieces: dict[str, list[Piece]] = {name: [] for name in variables}
    for extract in extracts:
        outcome = extract.outcome
        row = axis.index(outcome.file.init_time) - first_init
        for v, name in enumerate(outcome.wanted):
            piece = Piece(
                row,
                lead_index[outcome.lead_minutes],
                outcome.first_point,
                extract.values[v],
                name not in outcome.reasons,
            )
            pieces[name].append(piece)
    return {name: own for name, own in pieces.items() if own}


def merge_pieces(shard: NDArray[np.float32], pieces: Sequence[Piece], first_point: int) -> list[bool]:
    """Merge pieces into a shard.

    Parameters
    ----------
    shard : ndarray of float32, dims (init_time, lead_time, point)
        Changed in place.
    pieces : sequence of Piece
        Pieces to merge; a gap changes nothing.
    first_point : int
        First point of the shard.

    Returns
    -------
    list of bool
        For each piece, whether the shard already had all of its values; used for gaps.
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
