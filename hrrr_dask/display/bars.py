"""Progress bars of Rich: on stderr, or in the output of a notebook's cell."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from io import StringIO
from typing import Any, Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

from hrrr_dask.display.progress import Count, Progress, Show

__all__ = ["count_bar", "run_bar"]

NOTEBOOK_WIDTH: Final = 100
"""Width of a bar in a notebook [character]."""

NOTEBOOK_REFRESH_HZ: Final = 2
"""How often a bar in a notebook is drawn; each time is a message to the browser [1/s]."""

NOTEBOOK_THEME: Final = Theme(
    {f"bar.{name}": "#3b82c4" for name in ("complete", "finished", "pulse")}
    | {"bar.back": "#a0a0a0"}
    | {f"progress.{name}": "none" for name in ("download", "elapsed", "percentage", "remaining", "spinner")}
)
"""Legible on white and on black; text has the colour of the page."""

NOTEBOOK_FORMAT: Final = (
    '<pre style="margin:0;white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',Consolas,'Courier New',monospace\">{code}</pre>"
)


class _Place(Protocol):
    """Where a bar is shown."""

    bar: Bar

    def say(self, line: str, link: str = "") -> None:
        """Show a line of text above the bar, and behind it a link."""


@contextmanager
def run_bar(console: Console | None = None, *, notebook: bool = False) -> Iterator[Show]:
    """Show the progress of a run inside the block; appears with the first call, below the dashboard's address."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[gaps]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    place: _Place = _Notebook(columns) if notebook else _Terminal(columns, console, transient=False)
    with _stopped_after(place.bar):
        yield _RunBar(place)


@contextmanager
def count_bar(noun: str, console: Console | None = None, *, notebook: bool = False) -> Iterator[Count]:
    """Show how many of something are done inside the block; a terminal is left as it was."""
    columns = (TextColumn(noun, markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = (_Notebook(columns) if notebook else _Terminal(columns, console, transient=True)).bar
    task = bar.add_task(noun, total=None)

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        bar.start()

    with _stopped_after(bar):
        yield show


@contextmanager
def _stopped_after(bar: Bar) -> Iterator[None]:
    """Leave the terminal with its cursor, whatever happens inside the block."""
    try:
        yield
    finally:
        if bar.live.is_started:
            bar.stop()


class _RunBar:
    """Draws the progress of a run; calls may come from several threads."""

    def __init__(self, place: _Place) -> None:
        self._place, self._bar = place, place.bar
        self._lock = threading.Lock()
        self._named: set[str] = set()
        self._said = ""

    def __call__(self, progress: Progress) -> None:
        """Update the bar; what the run waits for is shown above it, once."""
        with self._lock:
            if not self._bar.tasks:
                if progress.dashboard:
                    self._place.say("Dask dashboard:", link=progress.dashboard)
                if progress.page:
                    self._place.say("What is slow, what it costs:", link=progress.page)
                self._bar.add_task("files", total=progress.files_total, rate="", gaps="")
                self._bar.start()
            self._say_news(progress)
            (task,) = self._bar.tasks
            rate = progress.bytes_read / 1e6 / max(task.elapsed or 0, 1e-3)
            self._bar.update(
                task.id,
                completed=progress.files_done,
                description=_doing(progress),
                rate=f"{rate:.1f} MB/s",
                gaps=f"{progress.gaps:,} values missing" if progress.gaps else "",
            )

    def _say_news(self, progress: Progress) -> None:
        for name, cause in progress.skipped_sources.items():
            if name not in self._named:
                self._named.add(name)
                self._place.say(f"source {name} is skipped for now, {cause}")
        if progress.notice != self._said:
            self._said = progress.notice
            self._place.say(self._said or "the run continues")


def _doing(progress: Progress) -> str:
    if progress.draining:
        return "committing what is read"
    if progress.interrupted:
        return "interrupted"
    if progress.waiting:
        return "waiting for the cluster's workers"
    return f"files ({', '.join(progress.sources_down)} down)" if progress.sources_down else "files"


class _Terminal:
    """A terminal, or a file that has the lines and the last state of the bar."""

    def __init__(self, columns: tuple[ProgressColumn, ...], console: Console | None, *, transient: bool) -> None:
        self.bar = Bar(*columns, console=console or Console(stderr=True), transient=transient)

    def say(self, line: str, link: str = "") -> None:
        text = Text.assemble(f"{line} ", (link, Style(link=link))) if link else Text(line)
        with suppress(OSError):  # a terminal that was closed
            self.bar.console.print(text, highlight=False, soft_wrap=True)


class _Notebook:
    """The output of a cell: one HTML output, which is replaced, and ends as the last state of the bar.

    Rich's own way needs ipywidgets, which a notebook that is opened again does not show.
    """

    def __init__(self, columns: tuple[ProgressColumn, ...]) -> None:
        self.bar = Bar(*columns, console=Console(file=StringIO(), force_terminal=False, force_jupyter=False))
        self.bar.live = _CellOutput(self.bar, self)
        self.lines: list[tuple[str, str]] = []

    def say(self, line: str, link: str = "") -> None:
        self.lines.append((line, link))


class _CellOutput(Live):
    """Draws a bar in the output of a cell: Rich calls ``refresh`` from a thread of its own, and at the end."""

    def __init__(self, bar: Bar, place: _Notebook) -> None:
        super().__init__(console=bar.console, get_renderable=bar.get_renderable, refresh_per_second=NOTEBOOK_REFRESH_HZ)
        self._bar, self._place = bar, place
        self._handle: Any = None

    def refresh(self) -> None:
        from IPython.display import display  # noqa: PLC0415  only notebooks have it

        picture = _Picture(self._bar, self._place.lines, is_running=self.is_started)
        if self._handle is None:
            self._handle = display(picture, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(picture)


class _Picture:
    """A bar as it is now."""

    def __init__(self, bar: Bar, lines: list[tuple[str, str]], *, is_running: bool) -> None:
        console = Console(
            file=StringIO(),
            record=True,
            width=NOTEBOOK_WIDTH,
            force_terminal=True,
            force_jupyter=False,
            color_system="truecolor",
            theme=NOTEBOOK_THEME,
        )
        console.print(bar.get_renderable())
        shown = [(line, link) for line, link in lines if is_running or not link]  # a dashboard ends with its cluster
        self._html = "".join(f"<div>{_html_line(line, link)}</div>" for line, link in shown)
        self._html += console.export_html(code_format=NOTEBOOK_FORMAT, inline_styles=True, clear=False)
        self._text = "\n".join([*(f"{line} {link}".rstrip() for line, link in shown), console.export_text().rstrip()])

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


def _html_line(line: str, link: str) -> str:
    text = escape(link)
    if link.startswith(("http://", "https://", "/")):
        text = f'<a href="{text}" target="_blank" rel="noopener">{text}</a>'
    return f"{escape(line)} {text}".rstrip()
