"""Decides who sees the progress of what takes long: by default, people at a terminal or in a notebook."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from hrrr_dask.display.progress import Count, Show
from hrrr_dask.errors import ConfigError

__all__ = ["accept_show", "in_notebook", "show_count", "show_run"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


@contextmanager
def show_run(progress: bool | Show | None) -> Iterator[Show | None]:
    """Show the progress of a run inside the block.

    Parameters
    ----------
    progress : bool or callable, optional
        True for a bar, False for nothing. None for a bar where a person looks on: stderr is a terminal, or Python runs
        in a notebook. A callable is used instead of a bar.

    Yields
    ------
    callable or None
        What to call with the progress; None if nobody looks on.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if _wants_bar(progress):
        from hrrr_dask.display.bars import run_bar  # noqa: PLC0415  scripts and workers load no Rich

        with run_bar(notebook=in_notebook()) as bar:
            yield bar
    else:
        yield progress if callable(progress) else None


@contextmanager
def show_count(progress: bool | Count | None, noun: str) -> Iterator[Count]:
    """Show how many of something are done inside the block; as :func:`show_run`, and always yields a callable."""
    if _wants_bar(progress):
        from hrrr_dask.display.bars import count_bar  # noqa: PLC0415  scripts and workers load no Rich

        with count_bar(noun, notebook=in_notebook()) as bar:
            yield bar
    else:
        yield progress if callable(progress) else _show_nothing


def _show_nothing(done: int, total: int) -> None:
    pass


def _wants_bar(progress: bool | Callable[..., None] | None) -> bool:
    if progress is None:
        return in_notebook() or _at_terminal()
    if callable(progress):
        return False
    if progress not in (True, False):
        raise ConfigError(f"progress is True, False, None or a function, not {progress!r}")
    return bool(progress)


def in_notebook() -> bool:
    """Whether this is Python of a notebook: IPython with a kernel, whose outputs a browser shows."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _at_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def accept_show(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Accept ``show=``, the former name of ``progress=``."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if "show" in kwargs and "progress" not in kwargs:
            kwargs["progress"] = kwargs.pop("show")
        return function(*args, **kwargs)

    return call
