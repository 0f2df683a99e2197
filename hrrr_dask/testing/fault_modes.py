"""Defines the fault modes of the fault server: wrong statuses, broken connections, wrong ranges, damaged objects."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from hrrr_dask.errors import ConfigError
from hrrr_dask.testing import damage

__all__ = ["MODES", "Mode", "check_mode", "describe_modes", "suits"]

GRIB: Final = ".grib2"
IDX: Final = ".idx"


@dataclass(frozen=True, slots=True)
class Mode:
    """A fault mode of a response."""

    name: str
    """Name of the mode in scripts."""
    meaning: str
    """What the server responds."""
    suits: Literal["any", "file", "inventory", "either"] = "any"
    """Objects that the mode applies to: any, keys that end in ``.grib2``, in ``.idx``, or in either."""
    harmless: bool = False
    """Whether an object can be read if it always responds this way."""
    change: Callable[[bytes], bytes] | None = None
    """Function from the intact object to the damaged one."""
    change_idx: Callable[[bytes], bytes] | None = None
    """Function for inventories, if it differs."""


MODES: Final = {
    mode.name: mode
    for mode in (
        Mode("ok", "the correct response", harmless=True),
        Mode("whole", "200 and the whole object, whatever range is requested"),
        Mode("page", "200 and a web page instead of the object"),
        Mode("reset", "the connection is reset at once"),
        Mode("reset-inside", "the correct headers, half of the body, then the connection is reset"),
        Mode("short", "the correct headers, half of the body, then the connection is closed"),
        Mode("stall", "the correct headers, half of the body, then no more data"),
        Mode("silent", "no response at all on an open connection"),
        Mode("slow", "the correct response, of which the body comes at 500 bytes a second"),
        Mode("narrow", "half of the range, with a Content-Range that agrees"),
        Mode("liar", "half of the range, with a Content-Range that claims all of it"),
        Mode("wide", "more than the range, with a Content-Range that agrees"),
        Mode("surplus", "more than the range, with a Content-Range that claims only the requested range"),
        Mode("bare", "the correct response without ETag and Last-Modified", harmless=True),
        Mode("weak", "the correct response with a weak ETag that never matches If-Match", harmless=True),
        Mode("reissued", "from now on the same bytes have another ETag", harmless=True),
        Mode("replaced", "from now on the object is replaced by its bytes in reverse order"),
        Mode("garbled", "the right number of bytes, with every bit inverted", change=damage.invert_bits),
        Mode("cut", "the object is truncated to its first half", change=damage.first_half),
        Mode("empty", "the object is empty", change=lambda _: b""),
        Mode(
            "other-run",
            "the content of the run six hours earlier: times, values, offsets",
            "either",
            change=damage.move_to_other_run,
            change_idx=damage.inventory_of_other_run,
        ),
        Mode("other-grid", "a file on another grid", "file", change=damage.move_to_other_grid),
        Mode(
            "older",
            "the offsets of the file before it was republished",
            "inventory",
            change_idx=damage.inventory_of_older_file,
        ),
        Mode("beyond", "all offsets are past the file's end", "inventory", change_idx=damage.inventory_beyond_file),
    )
}
"""Name to mode. Any status from 300 to 599 is a mode, too: 302 redirects to a missing key, 429 and 503 send
``Retry-After: 1``."""

_STATUSES: Final = range(300, 600)


def suits(name: str, key: str) -> bool:
    """Whether a mode applies to the object of a key."""
    wanted = MODES[name].suits if name in MODES else "any"
    endings = {"file": (GRIB,), "inventory": (IDX,), "either": (GRIB, IDX)}
    return wanted == "any" or key.endswith(endings[wanted])


def check_mode(name: object, key: str) -> str:
    """Check that a mode exists and applies to a key.

    Raises
    ------
    ConfigError
        If the mode does not exist, or applies to other objects.

    Examples
    --------
    >>> check_mode("503", "a.grib2"), check_mode("older", "a.grib2.idx")
    ('503', 'older')
    """
    text = str(name)
    if text.isdecimal() and int(text) in _STATUSES:
        return text
    if not isinstance(name, str) or name not in MODES:
        near = difflib.get_close_matches(text, MODES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"the script of {key} names {name!r}: {hint}Write a status from 300 to 599 or one of {', '.join(MODES)}"
        )
    if not suits(name, key):
        ending = {"file": GRIB, "inventory": IDX, "either": f"{GRIB} or {IDX}"}[MODES[name].suits]
        raise ConfigError(f"the script of {key} names {name!r}, which is for keys that end in {ending}: take another")
    return name


def describe_modes() -> str:
    """Format the modes as a table for the command line."""
    width = max(map(len, MODES))
    lines = [f"{mode.name:<{width}}  {mode.meaning}" for mode in MODES.values()]
    return "\n".join([*lines, f"{'300 - 599':<{width}}  that status"])
