"""How much of a message is read: its beginning, as far as the wanted cells go.

Messages are packed from the south: row after row of a Lambert grid, northward. Points in Texas need half of each
message. How many bytes that is stands in the message itself, which is not there yet; so a guess is read first, from
what the same variable took in the files before, and the rest when it was short.
"""

from __future__ import annotations

from typing import Final

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import DecodeError, TruncatedError, UnsupportedPackingError, WrongIdentityError
from hrrr_dask.grib.sections import check_beginning

__all__ = ["WORTHWHILE", "Prefixes"]

WORTHWHILE: Final = 0.9
"""Of a message: where more is needed, all of it is read."""

SMALL_BYTES: Final = 65_536
"""A message up to this is read whole [B]."""

DESCRIPTIONS: Final = 0.25
"""Assumption about the first message of a variable: this share of it describes its groups, before any value."""

MARGIN: Final = 1.02
"""What is read beyond the guess: one variable takes about the same share from hour to hour."""

MARGIN_BYTES: Final = 2_048
"""The same, of a message with few bytes [B]."""


class Prefixes:
    """What was learned of messages, in one process, for points up to a certain cell; safe in threads.

    Parameters
    ----------
    last_cell : int
        The last one that is wanted, in the messages' own order.
    n_cells : int
        Of the grid.
    """

    def __init__(self, last_cell: int, n_cells: int) -> None:
        self._last_cell = last_cell
        self._unlearned = DESCRIPTIONS + (1 - DESCRIPTIONS) * (last_cell + 1) / n_cells
        self._shares: dict[Selector, float] = {}

    def first(self, selector: Selector, length: int) -> int:
        """How much of a message to read first.

        Parameters
        ----------
        selector : Selector
            Which one it is.
        length : int
            Of the whole message [B].

        Returns
        -------
        int
            [B]; the whole length where little would be saved.

        Examples
        --------
        >>> prefixes, temperature = Prefixes(last_cell=499, n_cells=1000), Selector.parse("TMP:surface")
        >>> prefixes.first(temperature, 1_000_000), prefixes.first(temperature, 188)
        (639548, 188)
        """
        share = self._shares.get(selector, self._unlearned)
        guess = int(share * length * MARGIN) + MARGIN_BYTES
        return length if length <= SMALL_BYTES or guess > WORTHWHILE * length else guess

    def needed(self, selector: Selector, beginning: memoryview, length: int) -> int:
        """How much of a message the wanted cells take; the next guess is made of it.

        To be asked of whole messages, too: what was too short or too much once need not be so in the next hour.

        Parameters
        ----------
        selector : Selector
            Which one it is.
        beginning : memoryview
            What was read of it, or all of it.
        length : int
            Of the whole message [B].

        Returns
        -------
        int
            [B]; the whole length when the beginning is too short to tell, of a packing that only whole messages are
            decoded of, or not as it should be: what is wrong is then said of the whole message.
        """
        from hrrr_dask.decode.numba_engine import bytes_needed  # noqa: PLC0415  not in the process that only plans

        if length <= SMALL_BYTES:  # a field of one value, at night, says nothing about the morning's
            return length
        try:
            check_beginning(beginning, length)
            needed = bytes_needed(beginning, self._last_cell)
        except UnsupportedPackingError:
            self._shares[selector] = 1.0
            return length
        except (DecodeError, TruncatedError, WrongIdentityError):
            return length
        if needed is None:
            return length
        self._shares[selector] = needed / length
        return needed if needed <= WORTHWHILE * length else length
