"""The picture of a store's completeness, against its pixels."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import matplotlib.image
import numpy as np
import pytest

from hrrr_dask.ledger.completeness import summarise
from hrrr_dask.outcomes import OUTCOMES
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
def test_arrays_that_do_not_fit_are_refused(tmp_path, codes, init_times, why):
    with pytest.raises(ValueError, match=why):
        summarise(codes, init_times)
    with pytest.raises(ValueError, match=why):
        plot_status(codes, init_times, [0, 1, 2], "store", tmp_path / "x.png")


def test_a_picture_needs_a_run_and_a_name_for_every_lead_time(tmp_path):
    with pytest.raises(ValueError, match="at least one init time and 3 lead hours, not 0 and 3"):
        plot_status(np.ones((1, 0, 3), np.uint8), hours("2024-01-01", 0), [0, 1, 2], "store", tmp_path / "x.png")
    with pytest.raises(ValueError, match="at least one init time and 3 lead hours, not 4 and 2"):
        plot_status(np.ones((1, 4, 3), np.uint8), hours("2024-01-01", 4), [0, 1], "store", tmp_path / "x.png")


def test_a_picture_that_cannot_be_written_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        plot_status(np.ones((1, 1, 1), np.uint8), hours("2024-01-01", 1), [0], "store", tmp_path / "nowhere" / "x.png")


def colours_of(path) -> Counter[str]:
    """Hexadecimal colours of a picture's pixels."""
    pixels = np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint32)
    found = Counter((pixels @ np.array([65536, 256, 1], np.uint32)).ravel().tolist())
    return Counter({f"#{number:06x}": count for number, count in found.items()})


def drawn(tmp_path, codes, init_times, leads=(0, 1, 2), **more) -> Counter[str]:
    path = tmp_path / "status.png"
    plot_status(codes, init_times, leads, "s3://bucket/x.zarr", path, **more)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    return colours_of(path)


MUCH = 2_000
"""Pixels: more than the swatch of a legend, fewer than a cell."""


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
    found = drawn(tmp_path, codes, hours("2024-01-01", 1), [0])
    assert [name for name, colour in SHADES if found[colour] > MUCH] == [shade]


def test_what_the_archive_never_had_stays_white(tmp_path):
    codes = np.full((1, 24, 3), NUMBER["not-in-this-era"], np.uint8)
    found = drawn(tmp_path, codes, hours("2024-01-01", 24))
    assert not [name for name, colour in SHADES if found[colour] > MUCH]


@pytest.mark.parametrize("reason", sorted(set(NUMBER) - NO_REASON))
def test_every_reason_has_its_own_colour(tmp_path, reason):
    codes = np.full((1, 24, 3), NUMBER[reason], np.uint8)
    found = drawn(tmp_path, codes, hours("2024-01-01", 24))
    assert found[REASON_COLOURS[reason]] > MUCH
    others = set(REASON_COLOURS.values()) - {REASON_COLOURS[reason]} - {"#000000"}
    assert not [colour for colour in others if found[colour] > MUCH]
    assert len(set(REASON_COLOURS.values())) == len(REASON_COLOURS)


def test_without_gaps_there_is_no_panel_of_reasons(tmp_path):
    whole = np.ones((1, 24, 3), np.uint8)
    holed = whole.copy()
    holed[0, 5] = NUMBER["truncated"]
    sizes = []
    for codes in (whole, holed):
        drawn(tmp_path, codes, hours("2024-01-01", 24))
        sizes.append(matplotlib.image.imread(tmp_path / "status.png").shape[0])
    assert sizes[0] < sizes[1]


def test_one_file_that_is_missing_in_a_year_is_seen(tmp_path):
    codes = np.ones((11, 365 * 24, 19), np.uint8)
    codes[:, 4000, 7] = NUMBER["not-published"]
    found = drawn(tmp_path, codes, hours("2023-01-01", 365 * 24), range(19))
    assert found[COLOUR["90 to 99 %"]] > 20, "one day and lead time: its column is two or three pixels wide"


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
def test_any_length_can_be_drawn(tmp_path, init_times, rows):
    codes = np.ones((2, len(init_times), 3), np.uint8)
    codes[:, ::7] = NUMBER["unreachable"]
    codes[:, -1] = 0
    found = drawn(tmp_path, codes, init_times, (0, 6, 48), rows=rows)
    assert found.total() - found["#ffffff"] > MUCH


def test_the_same_store_gives_the_same_picture(tmp_path):
    codes = np.ones((1, 48, 2), np.uint8)
    codes[0, 3] = NUMBER["truncated"]
    for name in ("a.png", "b.png"):
        plot_status(codes, hours("2024-07-01", 48), [0, 1], "store", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_titles_may_be_long_and_have_signs_of_formulas(tmp_path):
    title = "s3://bucket/" + "long/" * 40 + "x$y_2$^\\alpha.zarr"
    plot_status(np.ones((1, 1, 1), np.uint8), hours("2024-01-01", 1), [0], title, tmp_path / "x.png")
    assert matplotlib.image.imread(tmp_path / "x.png").shape[1] == 1320, "the figure keeps its width"


def test_ten_years_of_all_runs_can_be_drawn(tmp_path):
    n = 24 * 3653
    codes = np.ones((3, n, 49), np.uint8)
    codes[:, 40_000:40_500] = NUMBER["not-published"]
    rows = summarise(codes, hours("2015-01-01", n))
    drawn(tmp_path, codes, hours("2015-01-01", n), range(49))
    assert len(rows) == 120
    assert rows[0].files_wanted == 31 * 24 * 49
    first = datetime(2015, 1, 1) + timedelta(hours=40_000)
    assert [row.label for row in rows if row.reasons] == sorted({f"{first + timedelta(days=d):%Y-%m}" for d in (0, 20)})
