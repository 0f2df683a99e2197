"""The plot of a store's completeness has the right colours."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import matplotlib.image
import numpy as np
import pytest

from hrrr_dask.ledger.completeness import summarise
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.report import heatmap
from hrrr_dask.report.heatmap import REASON_COLOURS, SHADES, plot_status

NUMBER = {name: outcome.number for name, outcome in OUTCOMES.items()}
NO_REASON = {"not-ingested", "complete", "not-in-this-era", "partial"}
COLOUR = dict(SHADES)


def hours(start: str, n: int, step: int = 1) -> np.ndarray:
    return np.datetime64(start, "h") + np.arange(0, n * step, step)


@pytest.mark.parametrize(
    ("codes", "init_times", "why"),
    [
        (np.ones((1, 2, 3), np.uint8), hours("2024-01-01", 3), "have dims"),
        (np.ones((2, 3), np.uint8), hours("2024-01-01", 3), "have dims"),
        (np.ones((1, 2, 3), np.uint8), hours("2024-01-01", 2)[::-1], "ascend"),
        (np.full((1, 2, 3), 99, np.uint8), hours("2024-01-01", 2), "outcome number 99 is not in the table"),
    ],
)
def test_inconsistent_arrays_are_refused(tmp_path, codes, init_times, why):
    with pytest.raises(ValueError, match=why):
        summarise(codes, init_times)
    with pytest.raises(ValueError, match=why):
        plot_status(codes, init_times, [0, 60, 120], "store", tmp_path / "x.png")


@pytest.mark.parametrize(("n_inits", "n_leads"), [(0, 3), (4, 2)])
def test_a_plot_needs_an_init_time_and_all_lead_times(tmp_path, n_inits, n_leads):
    codes, inits = np.ones((1, n_inits, 3), np.uint8), hours("2024-01-01", n_inits)
    message = f"a plot needs at least one init time and 3 lead times, not {n_inits} and {n_leads}"
    with pytest.raises(ValueError, match=message):
        plot_status(codes, inits, [60 * k for k in range(n_leads)], "store", tmp_path / "x.png")


def test_a_plot_that_cannot_be_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        plot_status(np.ones((1, 1, 1), np.uint8), hours("2024-01-01", 1), [0], "store", tmp_path / "nowhere" / "x.png")


def count_colours(tmp_path, codes, init_times, lead_hours=(0, 1, 2), **options) -> Counter[str]:
    """Draw the plot, and count its pixels by hexadecimal colour."""
    path = tmp_path / "status.png"
    plot_status(codes, init_times, [int(60 * hours) for hours in lead_hours], "s3://bucket/x.zarr", path, **options)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint32)
    found = Counter((pixels @ np.array([65536, 256, 1], np.uint32)).ravel().tolist())
    return Counter({f"#{number:06x}": count for number, count in found.items()})


MANY = 2_000
"""Number of pixels: more than a legend entry, fewer than a cell."""


@pytest.mark.parametrize(
    ("column", "shade"),
    [
        ([1] * 200, "all"),
        ([1] * 199 + [8], "99 % and more"),
        ([1] * 197 + [8] * 3, "90 to 99 %"),
        ([1] * 179 + [8] * 21, "50 to 90 %"),
        ([1] * 99 + [8] * 101, "less than half"),
        ([8] * 200, "none"),
        ([8] * 100 + [0] * 100, "none"),
        ([1] * 100 + [0] * 100, "all read so far"),
        ([1] * 100 + [12] * 100, "all read so far"),
        ([0] * 200, "not read yet"),
        ([1] * 100 + [2] * 100, "all"),
    ],
)
def test_a_cell_has_the_shade_of_its_share(tmp_path, column, shade):
    codes = np.array(column, np.uint8).reshape(200, 1, 1)
    found = count_colours(tmp_path, codes, hours("2024-01-01", 1), [0])
    assert [name for name, colour in SHADES if found[colour] > MANY] == [shade]


def test_files_that_the_archive_never_had_are_white(tmp_path):
    codes = np.full((1, 24, 3), NUMBER["not-in-this-era"], np.uint8)
    found = count_colours(tmp_path, codes, hours("2024-01-01", 24))
    assert not [name for name, colour in SHADES if found[colour] > MANY]


@pytest.mark.parametrize("reason", sorted(set(NUMBER) - NO_REASON))
def test_every_reason_has_its_own_colour(tmp_path, reason):
    codes = np.full((1, 24, 3), NUMBER[reason], np.uint8)
    found = count_colours(tmp_path, codes, hours("2024-01-01", 24))
    assert found[REASON_COLOURS[reason]] > MANY
    others = set(REASON_COLOURS.values()) - {REASON_COLOURS[reason]} - {"#000000"}
    assert not [colour for colour in others if found[colour] > MANY]
    assert len(set(REASON_COLOURS.values())) == len(REASON_COLOURS)


def test_the_panel_of_reasons_is_drawn_only_for_gaps(tmp_path):
    complete = np.ones((1, 24, 3), np.uint8)
    with_gaps = complete.copy()
    with_gaps[0, 5] = NUMBER["truncated"]
    heights = []
    for codes in (complete, with_gaps):
        count_colours(tmp_path, codes, hours("2024-01-01", 24))
        heights.append(matplotlib.image.imread(tmp_path / "status.png").shape[0])
    assert heights[0] < heights[1]


def test_one_missing_file_in_a_year_is_visible(tmp_path):
    codes = np.ones((11, 365 * 24, 19), np.uint8)
    codes[:, 4000, 7] = NUMBER["not-published"]
    found = count_colours(tmp_path, codes, hours("2023-01-01", 365 * 24), range(19))
    assert found[COLOUR["90 to 99 %"]] > 20, "the column of one day is two or three pixels wide"


@pytest.mark.parametrize("rows", ["lead_time", "cycle"])
@pytest.mark.parametrize(
    "init_times",
    [
        hours("2024-07-01T06", 1),
        hours("2024-07-01", 4, 6),
        hours("2024-07-01", 24 * 4),
        np.array(["2024-07-01T00", "2024-07-01T12", "2024-07-01T13", "2024-07-03T00"], "datetime64[ns]"),
        hours("2024-07-01", 24 * 31),
        hours("2024-01-01", 24 * 100),
        hours("2023-12-31", 24 * 400),
        hours("2023-12-31", 24 * 401),
    ],
    ids=len,
)
def test_a_period_of_any_length_can_be_drawn(tmp_path, init_times, rows):
    codes = np.ones((2, len(init_times), 3), np.uint8)
    codes[:, ::7] = NUMBER["unreachable"]
    codes[:, -1] = 0
    found = count_colours(tmp_path, codes, init_times, (0, 6, 48), rows=rows)
    assert found.total() - found["#ffffff"] > MANY


def test_the_same_status_gives_the_same_bytes(tmp_path):
    codes = np.ones((1, 48, 2), np.uint8)
    codes[0, 3] = NUMBER["truncated"]
    for name in ("a.png", "b.png"):
        plot_status(codes, hours("2024-07-01", 48), [0, 60], "store", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_long_titles_with_math_characters_keep_the_width(tmp_path):
    title = "s3://bucket/" + "long/" * 40 + "x$y_2$^\\alpha.zarr"
    plot_status(np.ones((1, 1, 1), np.uint8), hours("2024-01-01", 1), [0], title, tmp_path / "x.png")
    assert matplotlib.image.imread(tmp_path / "x.png").shape[1] == 1320, "the figure keeps its width"


def test_ten_years_of_all_runs_can_be_drawn(tmp_path):
    n = 24 * 3653
    codes = np.ones((3, n, 49), np.uint8)
    codes[:, 40_000:40_500] = NUMBER["not-published"]
    rows = summarise(codes, hours("2015-01-01", n))
    count_colours(tmp_path, codes, hours("2015-01-01", n), range(49))
    assert len(rows) == 120
    assert rows[0].files_wanted == 31 * 24 * 49
    first = datetime(2015, 1, 1) + timedelta(hours=40_000)
    assert [row.label for row in rows if row.reasons] == sorted({f"{first + timedelta(days=d):%Y-%m}" for d in (0, 20)})


QUARTERS = np.arange(0, 1095, 15).tolist()
"""Every quarter of an hour from 0 to 18 h."""


@pytest.mark.parametrize(
    ("lead_minutes", "labels", "axis"),
    [
        ([0, 60, 120], {0: "0", 1: "1", 2: "2"}, "h"),
        ([360], {0: "6"}, "h"),
        (QUARTERS[:13], {0: "0", 4: "1", 8: "2", 12: "3"}, "h"),
        (QUARTERS, {4 * hour: str(hour) for hour in range(19)}, "h"),
        ([30, 60, 90, 120, 180], {1: "1", 3: "2", 4: "3"}, "h"),
        ([15, 30, 45, 60], {0: "0:15", 1: "0:30", 2: "0:45", 3: "1:00"}, "h:min"),
        ([675], {0: "11:15"}, "h:min"),
    ],
)
def test_only_full_hours_are_labelled_if_there_are_two(lead_minutes, labels, axis):
    assert heatmap.label_lead_times(lead_minutes) == (labels, f"lead time [{axis}]")


def rows_of_texts(tmp_path, monkeypatch, lead_minutes):
    """Draw a plot; return its ticks (position to label) and its subtitle."""
    axes = []
    monkeypatch.setattr(heatmap, "draw_title", lambda panel, *texts: axes.append((panel, texts[1])))
    codes = np.ones((2, 4, len(lead_minutes)), np.uint8)
    codes[:, -1, -1] = 0
    plot_status(codes, hours("2024-07-01", 4), lead_minutes, "store", tmp_path / "x.png")
    ((panel, subtitle),) = axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    return dict(zip(panel.get_yticks().tolist(), labels, strict=True)), subtitle


def test_few_of_many_lead_times_are_labelled(tmp_path, monkeypatch):
    ticks, subtitle = rows_of_texts(tmp_path, monkeypatch, QUARTERS)
    assert ticks == {4 * hour: str(hour) for hour in range(0, 19, 2)}
    assert subtitle == "291 of 292 lead times complete (99.6 %), 0 with gaps, 1 to do"
    hourly = list(range(0, 49 * 60, 60))
    ticks, subtitle = rows_of_texts(tmp_path, monkeypatch, hourly)
    assert ticks == {hour: str(hour) for hour in range(0, 49, 6)}
    assert subtitle == "195 of 196 files complete (99.4 %), 0 with gaps, 1 to do"


def test_each_quarter_hour_has_its_own_row(tmp_path):
    codes = np.ones((1, 24, 73), np.uint8)
    codes[0, :, 22] = NUMBER["truncated"]  # 5 h 30 min
    count_colours(tmp_path, codes, hours("2024-07-01", 24), [minutes / 60 for minutes in QUARTERS])
    picture = np.round(matplotlib.image.imread(tmp_path / "status.png")[..., :3] * 255).astype(np.uint32)
    dark = int(COLOUR["none"][1:], 16)
    column = picture[:, picture.shape[1] // 3] @ np.array([65536, 256, 1], np.uint32)
    assert 3 < (column == dark).sum() < 12
