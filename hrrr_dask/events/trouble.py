"""Notices when something stops to work, and when it works again: each is told once."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Troubles"]


class Troubles:
    """What does not work at the moment.

    Parameters
    ----------
    tell : callable, optional
        Called with a sentence and whether it is good news.
    clock : callable
        Returns seconds that only increase.

    Examples
    --------
    >>> troubles = Troubles(lambda text, well: print(text, well), lambda: 0.0)
    >>> troubles.fails("queue", "it does not respond"), troubles.fails("queue", "it does not respond")
    it does not respond False
    (None, None)
    >>> troubles.works("queue"), troubles.works("queue")
    the queue responds again True
    (None, None)
    """

    def __init__(self, tell: Callable[[str, bool], None] | None, clock: Callable[[], float]) -> None:
        self._tell, self._clock = tell or (lambda *_: None), clock
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def fails(self, what: str, text: str, *, lasting_s: float = 0.0) -> None:
        """Tell of a failure, once, when it has lasted for so long [s]."""
        since = self._since.setdefault(what, self._clock())
        if what not in self._told and self._clock() - since >= lasting_s:
            self._told.add(what)
            self._tell(text, False)

    def works(self, what: str) -> None:
        """Tell that it works again, if its failure was told."""
        self._since.pop(what, None)
        if what in self._told:
            self._told.remove(what)
            self._tell(f"the {what} responds again", True)
