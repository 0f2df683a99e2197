"""What can be wrong with an answer: the modes that a script of the fault server names."""

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
    """One row of the table."""

    name: str
    """As scripts spell it."""
    meaning: str
    """What is answered."""
    suits: Literal["any", "file", "inventory", "either"] = "any"
    """Which objects have it: any; keys that end in ``.grib2``, in ``.idx``, or in one of both."""
    harmless: bool = False
    """Whether an object that always answers so can be read."""
    change: Callable[[bytes], bytes] | None = None
    """From the right object to the wrong one."""
    change_idx: Callable[[bytes], bytes] | None = None
    """The same where it is an inventory, if that is another one."""


MODES: Final = {
    mode.name: mode
    for mode in (
        Mode("ok", "the right answer", harmless=True),
        Mode("whole", "200 and the whole object, whatever range was asked for"),
        Mode("page", "200 and a web page instead of the object"),
        Mode("reset", "the connection is reset at once"),
        Mode("reset-inside", "the right headers, half of the body, then the connection is reset"),
        Mode("short", "the right headers, half of the body, then the connection is closed"),
        Mode("stall", "the right headers, half of the body, then silence"),
        Mode("narrow", "half of the range, and Content-Range says so"),
        Mode("liar", "half of the range, but Content-Range claims all of it"),
        Mode("wide", "more than the range, and Content-Range says so"),
        Mode("surplus", "more than the range, but Content-Range claims no more than was asked for"),
        Mode("bare", "the right answer without ETag and Last-Modified", harmless=True),
        Mode("weak", "the right answer with a weak ETag, and never a match for If-Match", harmless=True),
        Mode("reissued", "the same bytes have another ETag from now on", harmless=True),
        Mode("replaced", "the object is another one from now on: its bytes run backwards"),
        Mode("garbled", "as many bytes, all wrong: every bit is the other one", change=damage.inverted),
        Mode("cut", "the object ends half way", change=damage.first_half),
        Mode("empty", "the object has no bytes", change=lambda _: b""),
        Mode(
            "other-run",
            "what the run six hours before would have under this name: times, values, offsets",
            "either",
            change=damage.of_another_run,
            change_idx=damage.of_another_runs_file,
        ),
        Mode("other-grid", "a file of other cells", "file", change=damage.on_another_grid),
        Mode(
            "older",
            "the offsets of the file before it was published once more",
            "inventory",
            change_idx=damage.of_an_older_file,
        ),
        Mode("beyond", "all offsets lie beyond the end of the file", "inventory", change_idx=damage.beyond_the_file),
    )
}
"""Name to its row. Besides, any status from 300 to 599 is a mode: 302 leads to a key that is not there, 429 and 503 say
``Retry-After: 1``."""

_STATUSES: Final = range(300, 600)


def suits(name: str, key: str) -> bool:
    """Whether an object of that key can be wrong in that way."""
    wanted = MODES[name].suits if name in MODES else "any"
    endings = {"file": (GRIB,), "inventory": (IDX,), "either": (GRIB, IDX)}
    return wanted == "any" or key.endswith(endings[wanted])


def check_mode(name: object, key: str) -> str:
    """Make sure that a script may name this mode for that key.

    Raises
    ------
    ConfigError
        If there is no such mode, or it is for other objects.

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
    """The table, for people."""
    width = max(map(len, MODES))
    lines = [f"{mode.name:<{width}}  {mode.meaning}" for mode in MODES.values()]
    return "\n".join([*lines, f"{'300 - 599':<{width}}  that status"])
