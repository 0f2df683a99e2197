"""Spoilt inventories: a record that is selected must stand in the text, with its element, level, run and place.

The oracle takes the text apart at line breaks and colons, without the package.
"""

from __future__ import annotations

import random
import re
from datetime import datetime
from pathlib import Path
from typing import Final

from benchmarks.fuzz_messages import WrongError
from benchmarks.mutations import TEXTS, spoil_text
from hrrr_dask.errors import ArchiveError
from hrrr_dask.inventory import check_extent, locate, merge_ranges, parse_inventory, select
from hrrr_dask.records import GribFile, Record
from hrrr_dask.selectors import Selector
from hrrr_dask.testing import DECOYS, DEFAULT_WINDOW, encode_file
from hrrr_dask.variables import CATALOG

__all__ = ["InventoryCases"]

RUN: Final = datetime(2024, 7, 1, 18)


class InventoryCases:
    """One spoilt or made-up inventory after the other.

    Parameters
    ----------
    shared : Path
        NOAA's own, if they are there.
    """

    limit_bytes = 1 << 28

    def __init__(self, shared: Path, _work: Path) -> None:
        texts = [encode_file(GribFile(RUN, lead), DEFAULT_WINDOW, [*CATALOG, *DECOYS])[1] for lead in (1, 3, 24)]
        self._good = [(RUN, text) for text in texts]
        for path in sorted((shared / "idx").glob("*.idx")):
            run = datetime.strptime(path.name[5:17], "%Y%m%d.t%H")
            self._good.append((run, path.read_text()))

    def case(self, chance: random.Random) -> str:
        """Spoil one, read it, select; gives what came of it."""
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
                record = select(records, Selector(element, level), chance.randrange(30))
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
    """Find the one line that the record is, and the next greater offset."""
    lines = [line.strip().split(":") for line in re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text) if line.strip()]
    start = record.byte_range.start
    same = [line for line in lines if int(line[1]) == start and _names(line[3], record) and line[4] == record.level]
    if len(same) != 1 or same[0][2] != f"d={run:%Y%m%d%H}" or any(word for word in same[0][6:]):
        raise WrongError(f"{record} was selected, the text has {same}")
    later = [int(line[1]) for line in lines if int(line[1]) > start]
    if record.byte_range.stop != min(later, default=None):
        raise WrongError(f"{record} was selected, the next message begins at {min(later, default=None)}")


def _names(element: str, record: Record) -> bool:
    """By its name; a raw spelling has numbers in its place, which tests/test_elements.py is about."""
    return element == record.element or element.startswith("var ")


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
