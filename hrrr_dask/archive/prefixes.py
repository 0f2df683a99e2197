"""Decides how much of a message to download: its prefix up to the last wanted cell, or the parts around wanted cells.

Messages are packed from the south, row after row of a Lambert grid. Points in Texas need half of each message. How many
bytes that is only the message itself says. So a guess is downloaded first, learned from the same variable in earlier
files, and the rest if the guess was too short.

With simple packing each value can be decoded by itself, so that few points need few bytes. The length of a message says
where its values are if it is packed like that, and its header confirms it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import DecodeError, TruncatedError, UnsupportedPackingError, WrongIdentityError
from hrrr_dask.grib.packing import MAX_BITS, check_supported, read_packing
from hrrr_dask.grib.sections import END_MARKER, check_prefix

__all__ = ["REQUEST_BYTES", "Prefixes"]

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

REQUEST_BYTES: Final = 262_144
"""A request costs as much as this many bytes: parts of a message that are closer are downloaded as one [B]."""

SIMPLE_HEADERS: Final = range(150, 257)
"""Bytes of a message with simple packing that are not values; HRRR's have 172 to 212 [B]."""


class Prefixes:
    """Chooses the ranges of messages to download for certain cells; learns prefix lengths in one process. Thread-safe.

    Parameters
    ----------
    cells : ndarray of int64, dims (cell,)
        Wanted cells, unique and ascending in the order of the messages.
    n_cells : int
        Number of cells of the grid.
    request_bytes : int
        Cost of a request, as bytes that could be downloaded instead [B].
    """

    def __init__(self, cells: NDArray[np.int64], n_cells: int, request_bytes: int = REQUEST_BYTES) -> None:
        self._cells, self._n_cells, self._request_bytes = cells, n_cells, request_bytes
        self._last_cell = int(cells[-1])
        self._unlearned = DESCRIPTIONS + (1 - DESCRIPTIONS) * (self._last_cell + 1) / n_cells
        self._shares: dict[Selector, float] = {}

    def parts(self, length: int) -> tuple[tuple[int, int], ...]:
        """Return the parts of a message to download first if it seems to have simple packing and few wanted cells.

        Before the first request only the length is known. It suggests simple packing without a bitmap if it is that of
        a whole number of bits for each cell and a short header. :meth:`confirms` says whether this was right.

        Parameters
        ----------
        length : int
            Length of the whole message [B].

        Returns
        -------
        tuple of (int, int)
            Start and stop of each part within the message: the header, and what is around wanted cells. They cost less
            than a prefix, counting requests and bytes. Empty if they would not, or for another packing [B].

        Examples
        --------
        >>> prefixes = Prefixes(np.array([499_999, 900_000]), n_cells=1_000_000)
        >>> prefixes.parts(1_000_188), prefixes.parts(987_654)
        (((0, 184), (500183, 500184), (900184, 900185)), ())
        """
        bits = 8 * length // self._n_cells
        values_bytes = -(-self._n_cells * bits // 8)
        if length <= SMALL_BYTES or not 0 < bits <= MAX_BITS or length - values_bytes not in SIMPLE_HEADERS:
            return ()
        parts = self._parts_of(length - len(END_MARKER) - values_bytes, bits)
        return parts if len(parts) > 1 else ()

    def confirms(self, beginning: memoryview, length: int) -> bool:
        """Whether the header of a message says that :meth:`parts` has all that its wanted values need.

        Parameters
        ----------
        beginning : memoryview
            First part of the message, or more.
        length : int
            Length of the whole message [B].
        """
        try:
            check_prefix(beginning, length)
            packing = read_packing(beginning)
            check_supported(packing)
        except (DecodeError, TruncatedError, WrongIdentityError):
            return False
        simple = packing.template == 0 and packing.bitmap_at is None and packing.n_cells == self._n_cells
        return simple and self._parts_of(packing.values_at, packing.bits) == self.parts(length)

    def _parts_of(self, values_at: int, bits: int) -> tuple[tuple[int, int], ...]:
        """Header and wanted values of simple packing, merged where a request would cost more than the bytes between."""
        starts = values_at + self._cells * bits // 8
        stops = np.concatenate([[values_at], values_at - (-(self._cells + 1) * bits // 8)])
        (after,) = np.nonzero(starts - stops[:-1] > self._request_bytes)
        return tuple(zip([0, *starts[after].tolist()], [*stops[after].tolist(), int(stops[-1])], strict=True))

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
        >>> prefixes, temperature = Prefixes(np.array([3, 499]), n_cells=1000), Selector.parse("TMP:surface")
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
        if self._last_cell >= MAX_PREFIX_SHARE * self._n_cells:
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
