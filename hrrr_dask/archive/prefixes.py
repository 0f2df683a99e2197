"""Decides how much of a message to download: its prefix up to the last wanted cell.

Messages are packed from the south, row after row of a Lambert grid. Points in Texas need half of each message. How many
bytes that is only the message itself says. So a guess is downloaded first, learned from the same variable in earlier
files, and the rest if the guess was too short.
"""

from __future__ import annotations

from typing import Final

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import DecodeError, TruncatedError, UnsupportedPackingError, WrongIdentityError
from hrrr_dask.grib.sections import check_prefix

__all__ = ["MAX_PREFIX_SHARE", "Prefixes"]

MAX_PREFIX_SHARE: Final = 0.9
"""Share of a message above which the whole message is downloaded."""

SMALL_BYTES: Final = 65_536
"""Messages up to this size are downloaded whole [B]."""

DESCRIPTIONS: Final = 0.25
"""Assumed share of the first message of a variable that describes its groups, before any value."""

MARGIN: Final = 1.02
"""Factor on the guess: the share of a variable changes little from hour to hour."""

MARGIN_BYTES: Final = 2_048
"""Bytes added to the guess, for small messages [B]."""


class Prefixes:
    """Learns, in one process, the prefix lengths of messages for points up to a certain cell. Thread-safe.

    Parameters
    ----------
    last_cell : int
        Last wanted cell, in the order of the messages.
    n_cells : int
        Number of cells of the grid.
    """

    def __init__(self, last_cell: int, n_cells: int) -> None:
        self._last_cell = last_cell
        self._unlearned = DESCRIPTIONS + (1 - DESCRIPTIONS) * (last_cell + 1) / n_cells
        self._shares: dict[Selector, float] = {}

    def first(self, selector: Selector, length: int) -> int:
        """Return how many bytes of a message to download first.

        Parameters
        ----------
        selector : Selector
            Selector of the message.
        length : int
            Length of the whole message [B].

        Returns
        -------
        int
            Bytes; the whole length where little would be saved [B].

        Examples
        --------
        >>> prefixes, temperature = Prefixes(last_cell=499, n_cells=1000), Selector.parse("TMP:surface")
        >>> prefixes.first(temperature, 1_000_000), prefixes.first(temperature, 188)
        (639548, 188)
        """
        share = self._shares.get(selector, self._unlearned)
        guess = int(share * length * MARGIN) + MARGIN_BYTES
        return length if length <= SMALL_BYTES or guess > MAX_PREFIX_SHARE * length else guess

    def needed(self, selector: Selector, beginning: memoryview, length: int) -> int:
        """Return how many bytes of a message the wanted cells need, and learn the next guess from it.

        Call it for whole messages too: the share changes from hour to hour.

        Parameters
        ----------
        selector : Selector
            Selector of the message.
        beginning : memoryview
            Downloaded part of the message, or all of it.
        length : int
            Length of the whole message [B].

        Returns
        -------
        int
            Bytes; the whole length if the downloaded part is too short to tell, has a packing that is decoded from
            whole messages only, or is damaged: the error is then reported for the whole message [B].
        """
        from hrrr_dask.decode.numba_engine import bytes_needed  # noqa: PLC0415  not in the process that only plans

        if length <= SMALL_BYTES:  # a field with one value, as at night, says nothing about the next hours
            return length
        try:
            check_prefix(beginning, length)
            needed = bytes_needed(beginning, self._last_cell)
        except UnsupportedPackingError:
            self._shares[selector] = 1.0
            return length
        except (DecodeError, TruncatedError, WrongIdentityError):
            return length
        if needed is None:
            return length
        self._shares[selector] = needed / length
        return needed if needed <= MAX_PREFIX_SHARE * length else length
