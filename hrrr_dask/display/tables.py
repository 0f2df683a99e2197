"""Tables that describe a result, and what they look like as text and as HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Column", "Displayed", "Table"]

MAX_TEXT_ROWS: Final = 16
"""Maximum number of rows at a prompt."""

MAX_TEXT_WIDTH: Final = 88
"""Maximum length of a value at a prompt [character]."""

STYLE: Final = (
    "<style>"
    ".hrrr-dask.hrrr-dask table{border-collapse:collapse;margin:0.2em 0 0.6em 0;font-size:inherit;color:inherit}"
    ".hrrr-dask.hrrr-dask table tr,.hrrr-dask.hrrr-dask table tbody tr:nth-child(odd){background:transparent}"
    ".hrrr-dask.hrrr-dask table th,.hrrr-dask.hrrr-dask table td{border:0;border-top:1px solid rgba(128,128,128,0.35);"
    "padding:0.2em 1.2em 0.2em 0;text-align:left;vertical-align:top;white-space:normal;overflow-wrap:anywhere;"
    "max-width:50em;color:inherit}"
    ".hrrr-dask.hrrr-dask table th{font-weight:bold;white-space:nowrap;opacity:0.75}"
    ".hrrr-dask.hrrr-dask table .right{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    ".hrrr-dask.hrrr-dask table .whole{white-space:nowrap}"
    ".hrrr-dask .title,.hrrr-dask summary{font-weight:bold}.hrrr-dask summary{cursor:pointer;display:list-item}"
    "</style>"
)
"""Colours are those of the page, which may be light or dark, and lines are grey. The class stands twice, because
notebooks stripe tables and align their cells to the right by selectors of two classes."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    """Its header."""
    right: bool = False
    """Whether it has numbers, which are aligned on the right."""
    whole: bool = False
    """Whether its cells are never wrapped; as for numbers."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text; cells can have any characters."""

    title: str
    """Its title; can be empty."""
    rows: tuple[tuple[str, ...], ...]
    """Cells. Without columns, each row is a label and its value."""
    columns: tuple[Column, ...] = ()
    """One for each cell of a row; empty for labels and values."""

    def __post_init__(self) -> None:
        rows = tuple(tuple(map(_printable, row)) for row in self.rows)
        object.__setattr__(self, "title", _printable(self.title))
        object.__setattr__(self, "rows", rows)


class Displayed:
    """A result that is shown as tables: short at a prompt, whole in a notebook and on the command line."""

    __slots__ = ()

    def tables(self) -> tuple[Table, ...]:
        """Describe the result: first as a whole, as labels and values, then in detail."""
        raise NotImplementedError

    def __repr__(self) -> str:
        whole = self.tables()[0]
        return "\n".join([f"<hrrr_dask.{_heading(self, whole)}>", *_text_rows(whole.rows)])

    def _repr_html_(self) -> str:
        whole, *more = self.tables()
        first = f'<div class="title">{escape(_heading(self, whole))}</div>{_html_table(whole)}'
        rest = (f"<details><summary>{escape(table.title)}</summary>{_html_table(table)}</details>" for table in more)
        return f'<div class="hrrr-dask">{STYLE}{first}{"".join(rest)}</div>'


def _heading(result: object, whole: Table) -> str:
    name = type(result).__name__
    return name if whole.title == name.lower() else f"{name}: {whole.title}"


def _printable(text: str) -> str:
    """Replace what moves a cursor, colours a terminal or turns the direction of writing by its escape sequence."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else ascii(letter)[1:-1] for letter in text
    )


def _text_rows(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Yield the first rows of labels and values, with long values cut."""
    width = max((len(label) for label, _ in rows), default=0)
    shown = rows if len(rows) <= MAX_TEXT_ROWS else rows[: MAX_TEXT_ROWS - 1]
    for label, value in shown:
        cut = value if len(value) <= MAX_TEXT_WIDTH else f"{value[: MAX_TEXT_WIDTH - 1]}…"
        yield f"  {label:{width}}  {cut}".rstrip()
    if len(shown) < len(rows):
        yield f"  … and {len(rows) - len(shown):,} more"


def _html_table(table: Table) -> str:
    if not table.columns:
        rows = (f'<tr><th scope="row">{escape(label)}</th><td>{escape(value)}</td></tr>' for label, value in table.rows)
        return f"<table><tbody>{''.join(rows)}</tbody></table>"
    kinds = [_html_class(column) for column in table.columns]
    head = "".join(
        f'<th scope="col"{kind}>{escape(column.name)}</th>' for kind, column in zip(kinds, table.columns, strict=True)
    )
    rows = (
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _html_class(column: Column) -> str:
    return ' class="right"' if column.right else ' class="whole"' if column.whole else ""
