"""Formats an assessment as a Markdown page, and its values as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hrrr_dask.catalog.lead_times import file_hour, format_lead_time
from hrrr_dask.report.findings import ALL_FLAGS
from hrrr_dask.report.results import Assessment, Example

__all__ = [
    "format_count",
    "format_example",
    "format_location",
    "format_quality_page",
    "format_share",
    "format_value",
]

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
            _cell(_format_value_with_unit(one)),
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


def format_example(one: Example, *, bare: bool = False) -> str:
    """Format an example as one line, with its file, and with its lead time if that is not the hour of the file.

    Parameters
    ----------
    one : Example
        The example.
    bare : bool
        Omit the name of the variable.
    """
    name = "" if bare else f"{one.variable} "
    file = f"{one.init_time:%Y-%m-%dT%H}-f{file_hour(one.lead_minutes):02d}"
    lead_time = f" ({format_lead_time(one.lead_minutes)})" if one.lead_minutes % 60 else ""
    return f"{name}{_format_value_with_unit(one)} at {one.point_id}, {file}{lead_time}"


def _format_value_with_unit(one: Example) -> str:
    units = "" if one.units == "1" else f" {one.units}"
    return f"{format_value(one.value)}{units}" + (
        "" if one.before is None else f" after {format_value(one.before)}{units}"
    )


def format_value(value: float) -> str:
    """Format a value with five significant digits, or as an integer from 10,000.

    Examples
    --------
    >>> format_value(192.12479), format_value(93412.3), format_value(0.00012), format_value(-999.0)
    ('192.12', '93,412', '0.00012', '-999')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.5g}"


def format_count(number: int, noun: str) -> str:
    """Format a count with its noun, singular or plural.

    Examples
    --------
    >>> format_count(1, "point"), format_count(5016, "point")
    ('1 point', '5,016 points')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_share(part: int, whole: int) -> str:
    """Format a share as a percentage, never rounded to 0 % or 100 %.

    Examples
    --------
    >>> format_share(0, 10), format_share(1, 3), format_share(1, 10**9), format_share(10**9 - 1, 10**9)
    ('0 %', '33 %', '1e-07 %', '99.9999999 %')
    """
    if not part:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.9g} %" if share > 99 else f"{share:.2g} %"


def format_location(latitude: float, longitude: float) -> str:
    """Format coordinates as degrees with N, S, E and W.

    Examples
    --------
    >>> format_location(43.66, -116.09)
    '43.66 N 116.09 W'
    """
    longitude = (longitude + 180) % 360 - 180
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.2f} {north} {abs(longitude):.2f} {east}"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    """Escape text for a table cell."""
    return text.replace("|", "\\|").replace("\n", " ")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, align, *rows))
