"""Corrupt inventories: a selected record must be in the text, with its element, level, run and offset.

The oracle splits the text at line breaks and colons, without the package.
"""

from __future__ import annotations

import random
import re
from datetime import datetime
from pathlib import Path
from typing import Final, cast

from benchmarks.fuzz_messages import WrongError
from benchmarks.mutations import TEXTS, spoil_text
from hrrr_dask.archive.inventory import check_extent, locate, merge_ranges, parse_inventory, select
from hrrr_dask.catalog.selectors import Selector, Wanted
from hrrr_dask.errors import ArchiveError
from hrrr_dask.records import GribFile, Record, Window, WindowKind
from hrrr_dask.testing import DEFAULT_WINDOW, encode_file
from hrrr_dask.testing.messages import MESSAGES

__all__ = ["InventoryCases"]

RUN: Final = datetime(2024, 7, 1, 18)


class InventoryCases:
    """Corrupt and random inventories.

    Parameters
    ----------
    shared : Path
        NOAA's inventories, if they exist.
    """

    limit_bytes = 1 << 28

    def __init__(self, shared: Path, _work: Path) -> None:
        texts = [encode_file(GribFile(RUN, lead), DEFAULT_WINDOW, list(MESSAGES))[1] for lead in (1, 3, 24)]
        self._good = [(RUN, text) for text in texts]
        for path in sorted((shared / "idx").glob("*.idx")):
            run = datetime.strptime(path.name[5:17], "%Y%m%d.t%H")
            self._good.append((run, path.read_text()))

    def case(self, chance: random.Random) -> str:
        """Corrupt an inventory, read it, select; returns the result."""
        run, text = chance.choice(self._good)
        if chance.random() < 0.1:
            text = _made(run, chance)
        data = spoil_text(text, chance.choice(self._good)[1], chance)
        text = data.decode("utf-8", errors="replace")
        try:
            records = parse_inventory(text, run)
            check_extent(records, chance.choice((1 << 30, 10_000)))
        except ArchiveError as error:
            return f"refused: {error.code}"
        chosen = []
        for element, level in {
            (record.element, record.level) for record in chance.sample(records, min(3, len(records)))
        }:
            try:
                record = select(records, Wanted(Selector(element, level), 60 * chance.randrange(30)))
            except ArchiveError:
                continue
            _compare(record, text, run)
            chosen.append(record.byte_range)
        merged = merge_ranges(chosen, chance.choice((0, 1 << 18)))
        for place in chosen:
            which, start, stop = locate(place, merged)
            if merged[which].start + start != place.start or (stop is not None and start + (place.size or 0) != stop):
                raise WrongError(f"{place} was lost among {merged}")
        return "accepted"


def _compare(record: Record, text: str, run: datetime) -> None:
    """Find the one line that the record is, and the next greater offset.

    By its name, else by a raw spelling, which has numbers in its place; tests/catalog/test_elements.py is about those.
    """
    lines = [line.strip().split(":") for line in re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text) if line.strip()]
    start = record.byte_range.start
    there = [line for line in lines if int(line[1]) == start and line[4] == record.level]
    same = [line for line in there if line[3] == record.element] or [line for line in there if line[3][:4] == "var "]
    if len(same) > 1:  # of one element and level at one place: the others have windows that nobody understands
        same = [line for line in same if _window(line[5]) is not None]
    if (
        len(same) != 1
        or _window(same[0][5]) != record.window
        or same[0][2] != f"d={run:%Y%m%d%H}"
        or any(word for word in same[0][6:])
    ):
        raise WrongError(f"{record} was selected, the text has {same}")
    later = [int(line[1]) for line in lines if int(line[1]) > start]
    if record.byte_range.stop != min(later, default=None):
        raise WrongError(f"{record} was selected, the next message begins at {min(later, default=None)}")


def _window(text: str) -> Window | None:
    """Column 6, by splitting it at its blanks."""
    words = text.split(" ")
    if text == "anl":
        return Window("instant", 0, 0)
    numbers = words[0].split("-")
    if not all(re.fullmatch("[0-9]{1,6}", number) for number in numbers) or words[-1] != "fcst":
        return None
    minutes = [int(number) * {"min": 1, "hour": 60, "day": 1440}[words[1]] for number in numbers]
    if len(words) == 3 and len(minutes) == 1:
        return Window("instant", minutes[0], minutes[0])
    if len(words) != 4 or len(minutes) != 2 or minutes[0] > minutes[1]:
        return None
    return Window(cast("WindowKind", words[2]), minutes[0], minutes[1])


def _made(run: datetime, chance: random.Random) -> str:
    """Lines of any words, numbered as they should be."""
    offset, lines = 0, []
    for number in range(1, chance.randrange(2, 12)):
        element = chance.choice(("TMP", "UGRD", "VGRD", "APCP", "var discipline=0 center=7", chance.choice(TEXTS)[:20]))
        level = chance.choice(("surface", "2 m above ground", "500 mb", chance.choice(TEXTS)[:20]))
        window = chance.choice(("anl", "3 hour fcst", "2-3 hour acc fcst", "0-1 day acc fcst", "3-2 hour acc fcst"))
        lines.append(f"{number}:{offset}:d={run:%Y%m%d%H}:{element}:{level}:{window}:")
        offset += chance.choice((0, 1, chance.randrange(10**7), 10**14))
    return "\n".join(lines)
