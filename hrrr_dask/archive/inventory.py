"""Parses ``.idx`` inventories into byte ranges, selects messages, and merges ranges that are close.

``n:offset:d=YYYYMMDDHH:ELEMENT:LEVEL:WINDOW:`` is one line of an inventory. A message ends where the next one starts;
the last one is open-ended. Without an ``.idx``, :func:`hrrr_dask.archive.index_scan.scan_messages` builds the same
records from the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, cast

from hrrr_dask.catalog.elements import canonical_element
from hrrr_dask.catalog.selectors import Wanted, WindowSpec
from hrrr_dask.errors import (
    AmbiguousMessageError,
    InventoryError,
    MessageNotFoundError,
    TruncatedError,
)
from hrrr_dask.records import ByteRange, Record, Window, WindowKind

__all__ = [
    "check_extent",
    "locate",
    "merge_ranges",
    "parse_inventory",
    "parse_window",
    "select",
]

MAX_TEXT: Final = 8 << 20
"""Maximum length of an inventory [characters]; real ones have about 10,000."""

_REMEDY: Final = "walk the file itself instead"

_MINUTES: Final = {"min": 1, "hour": 60, "day": 1440}
_WINDOW = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6}) (min|hour|day)(?: (acc|ave|max|min))? fcst")
_LINE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?:([0-9]{1,15}):d=([0-9]{10}):([^:]+):([^:]+):([^:]+)(:.*)?")


def parse_window(text: str) -> Window | None:
    """Read column 6 of an inventory line.

    Returns
    -------
    Window or None
        None if HRRR does not use this spelling.

    Examples
    --------
    >>> parse_window("0-1 day acc fcst") == parse_window("0-24 hour acc fcst")
    True
    >>> parse_window("495 min fcst")
    Window(kind='instant', start=495, stop=495)
    """
    if text == "anl":
        return Window("instant", 0, 0)
    match = _WINDOW.fullmatch(text)
    if match is None:
        return None
    first, last, unit, kind = match.groups()
    stop = int(last) * _MINUTES[unit]
    if first is None and kind is None:
        return Window("instant", stop, stop)
    if first is None or kind is None or int(first) > int(last):
        return None
    return Window(cast(WindowKind, kind), int(first) * _MINUTES[unit], stop)


def parse_inventory(text: str, init_time: datetime) -> tuple[Record, ...]:
    """Parse the text of an ``.idx`` object.

    Parameters
    ----------
    text : str
        The whole text.
    init_time : datetime
        Init time that the inventory must have, UTC.

    Returns
    -------
    tuple of Record
        In the order of the lines. Elements are spelled as by :func:`hrrr_dask.catalog.elements.canonical_element`; a
        line with something after its window (an ensemble member, a probability) has the window None; lines with the
        same offset (``5.1``, ``5.2``) share a byte range; the last range is open.

    Raises
    ------
    InventoryError
        If the text is empty, too long, not an inventory, of another run, or its offsets decrease.
    """
    if len(text) > MAX_TEXT:
        raise InventoryError(f"wanted an inventory of at most {MAX_TEXT:,} characters, found {len(text):,}: {_REMEDY}")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise InventoryError(f"wanted an inventory, found no lines: {_REMEDY}")
    if lines[0][1].startswith("<"):
        raise InventoryError(f"wanted an inventory, found a web page that begins {lines[0][1][:60]!r}: {_REMEDY}")
    open_records = [_parse_line(line, number, init_time) for number, line in lines]
    _check_numbers(lines)
    return tuple(_with_stops(open_records, [number for number, _ in lines]))


def _parse_line(line: str, number: int, init_time: datetime) -> Record:
    match = _LINE.fullmatch(line)
    if match is None:
        raise InventoryError(
            f"wanted n:offset:d=YYYYMMDDHH:ELEMENT:LEVEL:WINDOW: in line {number} of the inventory, "
            f"found {line[:80]!r}: {_REMEDY}"
        )
    offset, run, element, level, window, rest = match.groups()
    if run != f"{init_time:%Y%m%d%H}":
        raise InventoryError(
            f"wanted the run {init_time:%Y%m%d%H} in line {number} of the inventory, found {run}: {_REMEDY}"
        )
    plain = rest is None or not rest.strip(":")
    return Record(
        element=canonical_element(element),
        level=level,
        window=parse_window(window) if plain else None,
        reference_time=init_time,
        byte_range=ByteRange(int(offset), None),
    )


def _check_numbers(lines: Sequence[tuple[int, str]]) -> None:
    """Check that messages are numbered from 1 without a gap: a missing number is a lost line."""
    expected = 1
    for number, line in lines:
        message, dot, _ = line.partition(":")[0].partition(".")
        found = int(message)
        if found != expected and not (dot and found == expected - 1):  # 5.2 follows 5.1
            raise InventoryError(
                f"wanted message {expected} in line {number} of the inventory, found {found}: "
                f"lines are missing, {_REMEDY}"
            )
        expected = found + 1


def _with_stops(records: Sequence[Record], numbers: Sequence[int]) -> Iterator[Record]:
    """Yield the same records, each ending at the next greater offset."""
    starts = [record.byte_range.start for record in records]
    for number, before, after in zip(numbers[1:], starts, starts[1:], strict=False):
        if after < before:
            raise InventoryError(
                f"wanted an offset of {before:,} or more in line {number} of the inventory, found {after:,}: {_REMEDY}"
            )
    following = sorted(set(starts))
    stops: dict[int, int | None] = dict(zip(following, [*following[1:], None], strict=True))
    return (
        replace(record, byte_range=ByteRange(start, stops[start]))
        for record, start in zip(records, starts, strict=True)
    )


def check_extent(records: Iterable[Record], size: int) -> None:
    """Check that no record starts beyond the end of its object.

    Parameters
    ----------
    records : iterable of Record
        Records of the inventory.
    size : int
        Size of the object [B].

    Raises
    ------
    TruncatedError
        If a record does: the object is truncated, or the inventory belongs to a longer one.
    """
    furthest = max((record.byte_range.start for record in records), default=0)
    if furthest >= size:
        raise TruncatedError(
            f"wanted a message at byte {furthest:,}, found an object of {size:,} bytes: "
            "it is cut off or its inventory is of another file, read it from another source"
        )


def select(records: Sequence[Record], wanted: Wanted) -> Record:
    """Return the only message that matches a selector at a lead time.

    Parameters
    ----------
    records : sequence of Record
        All records of a file.
    wanted : Wanted
        Element, level and window, compared as whole words, and lead time, at which the window ends. Without a window,
        any window matches if there is only one.

    Raises
    ------
    MessageNotFoundError
        If no message matches.
    AmbiguousMessageError
        If several messages match.
    """
    selector, lead_minutes = wanted
    element = canonical_element(selector.element)
    same_element = [record for record in records if canonical_element(record.element) == element]
    same_level = [record for record in same_element if record.level == selector.level]
    found = [record for record in same_level if _fits(record.window, selector.window, lead_minutes)]
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousMessageError(f"wanted {wanted}, found {_list(found)}: name the window in the selector")
    if same_element:
        raise MessageNotFoundError(f"wanted {wanted}, found {_list(same_level or same_element)}: name one of these")
    raise MessageNotFoundError(
        f"wanted {wanted}, found no {element} among the file's {len(records)} messages: "
        "look into its inventory for what it has"
    )


def _fits(window: Window | None, spec: WindowSpec, lead_minutes: int) -> bool:
    if window is None or spec.kind is None:
        return window is not None and window.stop == lead_minutes
    return window == spec.at(lead_minutes)


def _list(records: Sequence[Record]) -> str:
    names = [f"{record.element}:{record.level}:{_spell_window(record.window)}" for record in records]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _spell_window(window: Window | None) -> str:
    if window is None:
        return "window not understood"
    if window.kind == "instant":
        return f"instant at {window.stop} min"
    return f"{window.kind} of {window.start}-{window.stop} min"


def merge_ranges(ranges: Iterable[ByteRange], gap: int = 1 << 20) -> tuple[ByteRange, ...]:
    """Merge byte ranges that are close, so that fewer requests are made.

    Parameters
    ----------
    ranges : iterable of ByteRange
        In any order; they may repeat or overlap. An open range includes all that start after it.
    gap : int
        Maximum number of unwanted bytes between two ranges that are merged [B].

    Returns
    -------
    tuple of ByteRange
        In ascending order.

    Examples
    --------
    >>> merge_ranges([ByteRange(90, None), ByteRange(0, 10), ByteRange(12, 20)], gap=2)
    (ByteRange(start=0, stop=20), ByteRange(start=90, stop=None))
    """
    merged: list[ByteRange] = []
    for wanted in sorted(ranges, key=lambda each: (each.start, each.stop is None, each.stop or 0)):
        last = merged[-1] if merged else None
        if last is None or (last.stop is not None and wanted.start > last.stop + gap):
            merged.append(wanted)
        elif last.stop is None or wanted.stop is None:
            merged[-1] = ByteRange(last.start, None)
        else:
            merged[-1] = ByteRange(last.start, max(last.stop, wanted.stop))
    return tuple(merged)


def locate(wanted: ByteRange, merged: Sequence[ByteRange]) -> tuple[int, int, int | None]:
    """Find a range within the merged ranges.

    Returns
    -------
    (int, int, int or None)
        Index of the merged range that contains it, and its start and stop within that range's bytes.

    Raises
    ------
    ValueError
        If no merged range contains it completely.

    Examples
    --------
    >>> locate(ByteRange(12, 20), [ByteRange(0, 5), ByteRange(10, 30)])
    (1, 2, 10)
    """
    for which, whole in enumerate(merged):
        fits = whole.stop is None or (wanted.stop is not None and wanted.stop <= whole.stop)
        if whole.start <= wanted.start and fits:
            return which, wanted.start - whole.start, None if wanted.stop is None else wanted.stop - whole.start
    raise ValueError(f"{wanted} lies in none of {list(merged)}: merge the ranges that are asked for")
