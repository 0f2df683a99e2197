"""Questions to all workers of a cluster that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["ask_all"]

ASKED: Final = 5
"""How often all workers are asked at most, when some of them end meanwhile."""

LEFT_S: Final = 0.2
"""Until the scheduler has noticed that a worker ended [s]."""

Answer = TypeVar("Answer")


def ask_all(ask: Callable[[], Answer]) -> Answer:
    """Do what asks every worker; again when one of them ended meanwhile.

    Raises
    ------
    OSError
        If that happens again and again, or the scheduler is lost.
    """
    for _ in range(ASKED - 1):
        try:
            return ask()
        except OSError:  # a worker that ends takes its connection with it
            time.sleep(LEFT_S)
    return ask()
