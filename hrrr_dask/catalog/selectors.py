"""Parses selectors ``ELEMENT:LEVEL[:WINDOW]``, which identify a message by element, level and time window.

Element and level are spelled as in the inventory. Windows are relative to the lead time, so that one selector serves
every file:

=================  ==========================================================================
``instant``        the value at the valid time
``1 hour acc``     accumulation over the last hour; also ``ave``, ``max``, ``min``; also ``15 min ave``
``run acc``        accumulation since the init time; also ``ave``, ``max``, ``min``
(omitted)          the only window in the file; several windows are an error
=================  ==========================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, get_args

from hrrr_dask.catalog.lead_times import format_lead_time
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import Window, WindowKind

__all__ = ["ANY_WINDOW", "INSTANT", "Selector", "Wanted", "WindowSpec"]

_STATISTICS: Final = tuple(kind for kind in get_args(WindowKind) if kind != "instant")
_MINUTES: Final = {"hour": 60, "min": 1}
_RELATIVE = re.compile(r"(\d+) (hour|min) (acc|ave|max|min)")
_RUN = re.compile(r"run (acc|ave|max|min)")


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """A window relative to the lead time; ``kind`` None matches any window."""

    kind: WindowKind | None
    """``instant``, a statistic, or None."""
    minutes: int | None = None
    """Length of the window [min]; None for the whole run up to the lead time. Unused for an instant."""

    @classmethod
    def parse(cls, text: str) -> WindowSpec:
        """Parse the window of a selector.

        Raises
        ------
        ConfigError
            If the text has none of the forms in the module's table.

        Examples
        --------
        >>> WindowSpec.parse("1 hour acc")
        WindowSpec(kind='acc', minutes=60)
        """
        if text == "instant":
            return INSTANT
        if match := _RELATIVE.fullmatch(text):
            minutes = int(match[1]) * _MINUTES[match[2]]
            if minutes:
                return cls(match[3], minutes)  # type: ignore[arg-type]  # the pattern admits only statistics
        if match := _RUN.fullmatch(text):
            return cls(match[1], None)  # type: ignore[arg-type]  # the pattern admits only statistics
        raise ConfigError(
            f"time window {text!r} is not understood: windows are relative to the lead time, write 'instant', "
            f"'N hour KIND', 'N min KIND' or 'run KIND' with KIND one of {', '.join(_STATISTICS)}"
        )

    def at(self, lead_minutes: int) -> Window | None:
        """Return the absolute window at a lead time.

        Parameters
        ----------
        lead_minutes : int
            Lead time [min].

        Returns
        -------
        Window or None
            None if any window matches, or if the window would start before the run.

        Examples
        --------
        >>> WindowSpec("acc", 60).at(300)
        Window(kind='acc', start=240, stop=300)
        """
        if self.kind is None:
            return None
        if self.kind == "instant":
            return Window("instant", lead_minutes, lead_minutes)
        start = 0 if self.minutes is None else lead_minutes - self.minutes
        return None if start < 0 else Window(self.kind, start, lead_minutes)

    def exists_at(self, lead_minutes: int) -> bool:
        """Whether a run has such a window at a lead time: an hourly sum requires at least an hour."""
        return self.kind is None or self.at(lead_minutes) is not None

    def __str__(self) -> str:
        """Format so that :meth:`parse` reads it back."""
        if self.kind is None or self.kind == "instant":
            return self.kind or ""
        if self.minutes is None:
            return f"run {self.kind}"
        hours, rest = divmod(self.minutes, 60)
        return f"{self.minutes} min {self.kind}" if rest else f"{hours} hour {self.kind}"


INSTANT: Final = WindowSpec("instant")
ANY_WINDOW: Final = WindowSpec(None)


@dataclass(frozen=True, slots=True)
class Selector:
    """Element, level and window of the message to read from each file."""

    element: str
    """Parameter abbreviation, spelled as in the inventory."""
    level: str
    """Level, spelled as in the inventory."""
    window: WindowSpec = ANY_WINDOW
    """Window relative to the lead time."""

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Parse ``ELEMENT:LEVEL[:WINDOW]``.

        Raises
        ------
        ConfigError
            If a part is missing or the window is invalid.

        Examples
        --------
        >>> str(Selector.parse("APCP:surface:1 hour acc"))
        'APCP:surface:1 hour acc'
        """
        parts = [part.strip() for part in text.split(":")]
        if len(parts) not in (2, 3) or not all(parts):
            raise ConfigError(f"selector {text!r} is not ELEMENT:LEVEL or ELEMENT:LEVEL:WINDOW, such as 'TMP:surface'")
        return cls(parts[0], parts[1], WindowSpec.parse(parts[2]) if len(parts) == 3 else ANY_WINDOW)

    def __str__(self) -> str:
        """Format so that :meth:`parse` reads it back."""
        parts = [self.element, self.level, str(self.window)]
        return ":".join(part for part in parts if part)


class Wanted(NamedTuple):
    """One message of a file: what a selector matches at a lead time."""

    selector: Selector
    """Element, level and window of the message."""
    lead_minutes: int
    """Lead time [min]."""

    def __str__(self) -> str:
        """Format for messages to people."""
        return f"{self.selector} at a lead time of {format_lead_time(self.lead_minutes)}"
