"""Formats an assessment as a Markdown page, and its values as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hrrr_dask.catalog.lead_times import format_lead_time
from hrrr_dask.display.figures import format_count, format_location, format_share, format_value
from hrrr_dask.report.assessment import Assessment, format_example, format_example_value
from hrrr_dask.report.findings import ALL_FLAGS

__all__ = ["format_quality_page"]

RIGHT = "---:"
LEFT = "---"


def format_quality_page(found: Assessment) -> str:
    """Format an assessment as a Markdown page.

    Parameters
    ----------
    found : Assessment
        The assessment.
    """
    parts = [_summary(found)]
    if found.flags:
        parts += [_flags(found), _examples(found), _points_and_runs(found)]
    parts += [_variables(found), _lead_times(found), _meanings(found)]
    return "\n\n".join(parts) + "\n"


def _summary(found: Assessment) -> str:
    flagged = (
        f"**{found.flagged:,}** of them ({format_share(found.flagged, found.values)}) are flagged"
        if found.flagged
        else "**None** of them is flagged"
    )
    share = format_share(found.missing, found.values + found.missing)
    missing = (
        f"{found.missing:,} more are missing ({share}); the ledger has the reasons"
        if found.missing
        else "No value is missing"
    )
    return (
        f"# Physical quality of {_code(found.store)}\n\n"
        f"Runs from {found.first_init_time:%Y-%m-%d %H} to {found.last_init_time:%Y-%m-%d %H} UTC at "
        f"{format_count(found.n_points, 'point')}: **{found.values:,}** values from {found.files:,} files. "
        f"{flagged}. {missing}.\n\n"
        "A flag marks a value for review. No value was changed."
    )


def _flags(found: Assessment) -> str:
    rows = [
        (
            _code(row.flag),
            _code(row.variable),
            f"{row.values:,}",
            format_share(row.values, found.values),
            f"{row.points:,}",
            _cell(format_example(row.worst, bare=True)),
        )
        for row in found.flags
    ]
    header = ("flag", "variable", "values", "of all", "points", "most extreme")
    return "## Flags\n\n" + _table(header, rows, (LEFT, LEFT, RIGHT, RIGHT, RIGHT, LEFT))


def _examples(found: Assessment) -> str:
    valid_time = "%Y-%m-%d %H" if found.hourly else "%Y-%m-%d %H:%M"
    rows = [
        (
            _code(one.variable),
            _cell(format_example_value(one)),
            f"{one.init_time:%Y-%m-%d %H}",
            _lead_time(found, one.lead_minutes),
            f"{one.valid_time:{valid_time}}",
            _cell(one.point_id),
            format_location(one.latitude, one.longitude),
            ", ".join(map(_code, one.flags)),
        )
        for one in found.examples
    ]
    header = ("variable", "value", "init time", _lead_header(found), "valid time", "point", "location", "flags")
    return "## Most extreme values\n\n" + _table(header, rows, (LEFT, RIGHT, LEFT, RIGHT, LEFT, LEFT, LEFT, LEFT))


def _points_and_runs(found: Assessment) -> str:
    points = [
        (_cell(row.point_id), format_location(row.latitude, row.longitude), f"{row.flagged:,}") for row in found.points
    ]
    runs = [(f"{row.init_time:%Y-%m-%d %H}", f"{row.flagged:,}") for row in found.runs]
    return (
        "## Points and runs\n\nThe points with the most flagged values:\n\n"
        + _table(("point", "location", "flagged"), points, (LEFT, LEFT, RIGHT))
        + "\n\nThe runs with the most flagged values:\n\n"
        + _table(("init time [UTC]", "flagged"), runs, (LEFT, RIGHT))
    )


def _variables(found: Assessment) -> str:
    rows = [
        (
            _code(row.name),
            row.units,
            *("-" if value is None else format_value(value) for value in (row.minimum, row.mean, row.maximum)),
            f"{row.values:,}",
            format_share(row.missing, row.values + row.missing),
            f"{row.flagged:,}",
        )
        for row in found.variables
    ]
    header = ("variable", "unit", "minimum", "mean", "maximum", "values", "missing", "flagged")
    return "## Variables\n\n" + _table(header, rows, (LEFT, LEFT, *[RIGHT] * 6))


def _lead_times(found: Assessment) -> str:
    rows = [(_lead_time(found, row.lead_minutes), f"{row.values:,}", f"{row.flagged:,}") for row in found.leads]
    return "## Lead times\n\n" + _table((_lead_header(found), "values", "flagged"), rows, (RIGHT, RIGHT, RIGHT))


def _lead_header(found: Assessment) -> str:
    return "lead [h]" if found.hourly else "lead time"


def _lead_time(found: Assessment, lead_minutes: int) -> str:
    return f"{lead_minutes // 60}" if found.hourly else format_lead_time(lead_minutes)


def _meanings(found: Assessment) -> str:
    names = {row.flag for row in found.flags}
    rows = [(_code(flag.name), flag.meaning, flag.source, "yes" if flag.name in names else "no") for flag in ALL_FLAGS]
    return "## What the flags mean\n\n" + _table(("flag", "meaning", "source", "found"), rows, (LEFT,) * 4)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    """Escape text for a table cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, align, *rows))
