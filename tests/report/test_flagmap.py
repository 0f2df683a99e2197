"""The plot of flagged values has the right colours."""

from __future__ import annotations

from collections import Counter

import matplotlib.image
import numpy as np
import pytest

from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.report.findings import ALL_FLAGS, QualityFindings
from hrrr_dask.report.flagmap import SHADES, plot_flags

COLOUR = {name: colour for _, name, colour in SHADES}
MANY = 2_000
"""Number of pixels: more than a legend entry, fewer than a cell."""


def findings_of(flagged, *, n_values=1_000_000, n_runs=1, names=("temperature_2m",), mask=2) -> QualityFindings:
    """Make findings with the same number of values and of flagged values in every run."""
    inits = np.datetime64("2024-07-01", "s") + np.arange(n_runs) * np.timedelta64(1, "h")
    variables = [CATALOG[name] for name in names]
    findings = QualityFindings(variables, (["p"], np.array([40.0]), np.array([-100.0])), inits, [0])
    row = [k for k, flag in enumerate(ALL_FLAGS) if flag.mask == mask]
    findings.value_counts[...] = n_values
    findings.flag_counts[..., row] = flagged
    findings.flag_counts[..., -1] = flagged
    return findings


def pixels(tmp_path, findings) -> np.ndarray:
    """Return the colours of the plot as numbers, dims (y, x)."""
    path = tmp_path / "flags.png"
    plot_flags(findings, findings.to_assessment("s3://bucket/x.zarr", 1), path)
    found = np.round(matplotlib.image.imread(path)[..., :3] * 255).astype(np.uint32)
    return found @ np.array([65536, 256, 1], np.uint32)


def count_colours(tmp_path, findings) -> Counter[str]:
    found = Counter(pixels(tmp_path, findings).ravel().tolist())
    return Counter({f"#{number:06x}": count for number, count in found.items()})


def test_a_cell_has_the_shade_of_its_share(tmp_path):
    findings = findings_of(0, n_runs=10)
    findings.flag_counts[:, 0, -1] = [0, 1, 10, 11, 1_000, 1_001, 10_000, 10_001, 100_001, 1_000_000]
    picture = pixels(tmp_path, findings)
    picture = picture[:, : picture.shape[1] * 3 // 4]  # exclude the legend
    shades = [int(colour[1:], 16) for colour in COLOUR.values()]
    line = max(picture.tolist(), key=lambda line: sum(colour in shades for colour in line))
    cells = [shades.index(colour) for colour in line if colour in shades]
    starts = [k for k in range(len(line)) if line[k] in shades and line[k - 1] not in shades]
    assert [shades.index(line[k]) for k in starts] == [0, 1, 1, 2, 3, 4, 4, 5, 6, 6]
    assert len(cells) > 600, "cells fill most of the line"


def test_flags_have_their_own_rows_below_the_variables(tmp_path):
    heights = []
    for flagged in (0, 5):
        count_colours(tmp_path, findings_of(flagged, names=tuple(CATALOG)))
        heights.append(matplotlib.image.imread(tmp_path / "flags.png").shape[0])
    assert heights[0] < heights[1]


def test_no_data_sentinels_are_not_drawn(tmp_path):
    findings = findings_of(0)
    findings.flag_counts[..., [flag.name for flag in ALL_FLAGS].index("no-data-sentinel")] = 500_000
    found = count_colours(tmp_path, findings)
    assert [name for name, colour in COLOUR.items() if found[colour] > MANY] == ["none"]


def test_cells_without_values_are_white(tmp_path):
    findings = findings_of(0)
    findings.value_counts[...] = 0
    found = count_colours(tmp_path, findings)
    assert not [name for name, colour in COLOUR.items() if found[colour] > MANY]


@pytest.mark.parametrize("n_runs", [24, 24 * 300, 24 * 800])
def test_one_flagged_value_is_visible_in_a_period_of_any_length(tmp_path, n_runs):
    findings = findings_of(0, n_runs=n_runs, names=("temperature_2m", "dewpoint_2m"))
    findings.flag_counts[len(findings.flag_counts) // 2, 1, [1, -1]] = 1
    picture = pixels(tmp_path, findings)
    assert (picture[:, : picture.shape[1] * 3 // 4] == int(COLOUR["up to 0.001 %"][1:], 16)).sum() > 20


def test_shades_are_distinguishable_by_darkness_alone():
    light = [
        sum(w * int(colour[k : k + 2], 16) for k, w in ((1, 0.3), (3, 0.59), (5, 0.11))) for _, _, colour in SHADES
    ]
    assert (np.diff(light[1:]) < -20).all()


def test_the_same_findings_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        findings = findings_of(7, n_runs=30)
        plot_flags(findings, findings.to_assessment("s", 1), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
