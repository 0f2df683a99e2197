"""`assess` of a store without outliers, of one with outliers in its archive, and of a real day."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from support import needs
from support.oracle import content_digests, without_dask, write_points
from support.paths import SHARED_DATA

import hrrr_dask
from hrrr_dask.audit import assess as assess_module
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.cli.commands import cli
from hrrr_dask.errors import ConfigError, PlanError, StoreMismatchError
from hrrr_dask.grid.solar import cos_zenith
from hrrr_dask.report.findings import QualityFindings
from hrrr_dask.testing import DEFAULT_WINDOW, expected_field, write_archive
from hrrr_dask.testing import messages as messages_module

CELLS = [(2, 3), (9, 20), (20, 28)]
NAMES = [
    "temperature_2m",
    "dewpoint_2m",
    "relative_humidity_2m",
    "visible_beam_downward_solar_flux",
    "visible_diffuse_downward_solar_flux",
    "downward_shortwave_flux",
    "u_component_wind_10m",
    "v_component_wind_10m",
    "precipitation_1h",
]
NOON = datetime(2024, 7, 2, 18)

OUTLIERS = {
    ("visible_beam_downward_solar_flux", NOON, 0, 0): 9000.0,
    ("dewpoint_2m", datetime(2024, 7, 1, 6), 6, 1): 192.125,
    ("relative_humidity_2m", datetime(2024, 7, 1, 6), 6, 2): 1.0,
    ("temperature_2m", datetime(2024, 7, 2, 0), 0, 1): 230.0,
}
"""Variable, run, lead time and position in CELLS to a value."""


def field_with_outliers(name, init_time, lead_minutes, window):
    field = np.array(expected_field(name, init_time, lead_minutes, window))
    for (variable, run, lead, point), value in OUTLIERS.items():
        if (variable, run, lead) == (name, init_time, lead_minutes // 60):
            field[CELLS[point]] = value
    return field


def backfill(root):
    latitude, longitude = DEFAULT_WINDOW.latlon(*np.transpose(CELLS))
    with without_dask() as client:
        hrrr_dask.backfill(
            write_points(root / "points.csv", list(zip(latitude, longitude, strict=True))),
            "2024-07-01",
            "2024-07-02",
            root / "x.zarr",
            client=client,
            source=[str(root / "archive")],
            cycles=[0, 6, 12, 18],
            lead_hours=[0, 6],
            variables=NAMES,
            partition_days=1,
            axis_start="2024-06-30",
        )
    return str(root / "x.zarr")


def make_archive(root):
    return write_archive(
        root / "archive",
        start=datetime(2024, 7, 1),
        end=datetime(2024, 7, 2, 18),
        cycles=(0, 6, 12, 18),
        lead_hours=(0, 6),
        variables=NAMES,
        decoys=False,
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean")
    make_archive(root)
    return backfill(root)


@pytest.fixture(scope="module")
def with_outliers(tmp_path_factory):
    """Store of an archive with outliers, and with one file missing."""
    root = tmp_path_factory.mktemp("outliers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages_module, "expected_field", field_with_outliers)
        archive = make_archive(root)
    (missing,) = [file for file in archive.files if (file.init_time, file.lead_hours) == (datetime(2024, 7, 2), 6)]
    archive.path(missing).unlink()
    return backfill(root)


def test_a_store_without_outliers_has_no_flags_and_all_values_are_checked(clean):
    before = content_digests(clean)
    found = hrrr_dask.assess(clean)
    assert found.flagged == 0, found.flags
    assert (found.first_init_time, found.last_init_time) == (datetime(2024, 7, 1), NOON)
    assert (found.files, found.n_points) == (16, 3)
    assert [row.name for row in found.variables] == NAMES
    with xr.open_zarr(clean) as opened:
        for row in found.variables:
            values = opened[row.name].to_numpy()
            n = np.isfinite(values).sum()
            assert (row.values, row.missing) == (n, 0), row.name
            assert (row.minimum, row.maximum) == (np.nanmin(values), np.nanmax(values))
            assert row.mean == pytest.approx(np.nanmean(values, dtype=np.float64))
    assert found.values == 8 * 16 * 3 + 8 * 3, "hourly precipitation does not exist at lead 0, and is not missing"
    assert content_digests(clean) == before, "no value is changed"


def counts_of(found):
    return {(row.flag, row.variable): row.values for row in found.flags}


def test_outliers_are_found_with_their_point_and_time(with_outliers):
    found = hrrr_dask.assess(with_outliers)
    beam = "visible_beam_downward_solar_flux"
    assert counts_of(found) == {
        ("above-limits", beam): 1,
        ("beam-above-solar-constant", beam): 1,
        ("solar-closure", beam): 1,
        ("solar-closure", "visible_diffuse_downward_solar_flux"): 1,
        ("solar-closure", "downward_shortwave_flux"): 1,
        ("below-limits", "dewpoint_2m"): 1,
        ("moisture-sentinel", "dewpoint_2m"): 2,
        ("moisture-sentinel", "relative_humidity_2m"): 1,
        ("step-between-runs", "temperature_2m"): 1,
        ("dewpoint-above-temperature", "dewpoint_2m"): 1,
    }
    assert found.flagged == 3 + 3 + 2
    assert (found.files, found.missing) == (15, 9 * 3)
    first, second, *_ = found.examples
    assert (first.variable, first.value, first.init_time, first.lead_minutes) == (beam, 9000, NOON, 0)
    assert first.flags == ("above-limits", "beam-above-solar-constant", "solar-closure")
    assert first.point_id == "p0"
    latitude, longitude = DEFAULT_WINDOW.latlon(*CELLS[0])
    assert (first.latitude, first.longitude % 360) == pytest.approx((latitude, longitude))
    assert (second.variable, second.value, second.before) == ("temperature_2m", 230, 288.375)
    assert second.init_time == datetime(2024, 7, 2), "a step across the border of two partitions"
    assert {(row.point_id, row.flagged) for row in found.points} == {("p0", 3), ("p1", 3), ("p2", 2)}
    assert [(row.lead_hours, row.flagged) for row in found.leads] == [(0, 5), (6, 3)]


def test_small_blocks_give_the_same_assessment(with_outliers, monkeypatch):
    whole = hrrr_dask.assess(with_outliers)
    monkeypatch.setattr(assess_module, "BLOCK_BYTES", 1)
    existing = assess_module.load_existing(with_outliers, {})
    assert existing.layout.chunk_points >= 3, "else there are several blocks above"
    monkeypatch.setattr(assess_module, "_blocks_of_points", lambda *_: [slice(0, 1), slice(1, 3)])
    assert hrrr_dask.assess(with_outliers) == whole


def test_files_with_several_lead_times_are_counted_once():
    codes = np.full((2, 3, 8), 8, np.uint8)
    codes[0, 0, [0, 1, 4]] = 1  # lead times 0, 15 min and 60 min: two files
    codes[1, 0, 1] = 1
    codes[1, 2, [4, 5]] = [12, 1]  # 60 min, of which some points have values, and 75 min
    assert assess_module.count_files(codes, list(range(0, 120, 15))) == 4
    assert assess_module.count_files(codes, list(range(0, 480, 60))) == 3 + 2


def test_a_block_of_quarter_hours_is_assessed_at_its_valid_times():
    """Closure and steps depend on minutes: the sun rises by 3.75 degrees in a quarter of an hour."""
    variables = parse_variables([*NAMES[:1], *NAMES[3:6], "VBDSF:surface:15 min ave", "DSWRF:surface:15 min ave"])
    inits, minutes = np.array(["2024-03-20T06", "2024-03-20T07"], "datetime64[ns]"), np.arange(0, 105, 15)
    valid = inits[:, None] + minutes.astype("timedelta64[m]")
    cosine = np.broadcast_to(cos_zenith(valid[..., None], [0.0, 0.0], [10.0, 12.0]), (2, 7, 2))
    beam = np.full((2, 7, 2), 800, np.float32)
    values = {
        "temperature_2m": np.full((2, 7, 2), 280, np.float32),
        NAMES[3]: beam,
        NAMES[4]: np.full_like(beam, 100),
        NAMES[5]: (100 + 800 * np.maximum(cosine, 0)).astype(np.float32),
        "vbdsf_surface_15_min_ave": beam,
        "dswrf_surface_15_min_ave": np.zeros_like(beam),  # closure is not tested for averages
    }
    values["temperature_2m"][1, 3, 1] = 291  # at 0:45; 10 K are allowed
    dims = ("init_time", "lead_time", "point")
    dataset = xr.Dataset(
        {name: (dims, array) for name, array in values.items()},
        {
            "init_time": inits,
            "lead_time": minutes.astype("timedelta64[m]").astype("timedelta64[ns]"),
            "valid_time": (dims[:2], valid),
            "cell_latitude": ("point", [0.0, 0.0]),
            "cell_longitude": ("point", [10.0, 12.0]),
        },
    )
    points = (["a", "b"], np.zeros(2), np.array([10.0, 12.0]))

    def assessed(dataset):
        findings = QualityFindings(variables, points, inits, minutes.tolist())
        attempted = np.ones((len(variables), 2, 7), bool)
        parts = assess_module._assess_points(dataset, slice(0, 2), [slice(0, 1), slice(1, 2)], attempted, findings)
        assert list(parts) == [1, 2]
        return findings.to_assessment("s", 4)

    found = assessed(dataset)
    assert counts_of(found) == {("step-along-lead-time", "temperature_2m"): 1}
    (one,) = found.examples
    assert (one.point_id, one.lead_minutes, one.valid_time) == ("b", 45, datetime(2024, 3, 20, 7, 45))
    whole_hours = valid.astype("datetime64[h]").astype("datetime64[ns]")
    early = assessed(dataset.assign_coords(valid_time=(dims[:2], whole_hours)))
    assert ("solar-closure", NAMES[5]) in counts_of(early), "else minutes do not matter here"


def test_only_the_given_period_is_assessed(with_outliers):
    found = hrrr_dask.assess(with_outliers, start="2024-07-01T06", end="2024-07-01")
    assert (found.first_init_time.hour, found.last_init_time.hour, found.files) == (6, 18, 6)
    assert {row.variable for row in found.flags} == {"dewpoint_2m", "relative_humidity_2m"}
    last = hrrr_dask.assess(with_outliers, start=datetime(2024, 7, 2, 6))
    assert (last.first_init_time, last.last_init_time) == (datetime(2024, 7, 2, 6), NOON)
    with pytest.raises(PlanError, match="has runs from 2024-07-01T00 to 2024-07-02T18, and none from 2024-06-01T00"):
        hrrr_dask.assess(with_outliers, start="2024-06-01", end="2024-06-02")


def test_progress_counts_the_parts_of_the_store(clean, monkeypatch):
    monkeypatch.setattr(assess_module, "BLOCK_BYTES", 1)  # a chunk of points at a time
    seen: list[tuple[int, int]] = []
    hrrr_dask.assess(clean, progress=lambda *counts: seen.append(counts))
    total = seen[0][1]
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_a_missing_store_or_directory_is_an_error(tmp_path, clean):
    with pytest.raises(StoreMismatchError, match="holds no store"):
        hrrr_dask.assess(tmp_path / "nothing")
    for what in ("markdown", "plot"):
        with pytest.raises(ConfigError, match=r"directory .*nowhere does not exist: create it first"):
            hrrr_dask.assess(clean, **{what: tmp_path / "nowhere" / "x"})


def run(*args):
    return CliRunner().invoke(cli, ["quality", *map(str, args)])


def test_the_command_writes_a_page_and_a_plot_and_exits_with_0(with_outliers, tmp_path):
    page, plot = tmp_path / "q.md", tmp_path / "q.png"
    result = run("--store", with_outliers, "--markdown", page, "--plot", plot)
    assert result.exit_code == 0, result.output
    assert "flagged 8 (2.1 %); none is changed" in " ".join(result.stdout.split())
    assert f"plot     {plot}" in result.stdout
    assert "9000 W m-2 at p0, 2024-07-02T18-f00" in page.read_text()
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_json_output_has_the_assessment(with_outliers):
    result = run("--store", with_outliers, "--json", "--start", "2024-07-02", "--end", "2024-07-02T18")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["first_init_time"] == "2024-07-02T00:00:00"
    assert found["flagged"] == 4
    assert found["examples"][0]["value"] == 9000
    assert [json.dumps(row["lead_hours"]) for row in found["leads"]] == ["0", "6"], "integers"
    assert "lead_minutes" not in result.stdout


@pytest.mark.parametrize(
    ("flags", "exit_code", "message"),
    [
        ("solar-closure", 3, "found solar-closure\n"),
        ("no-data-sentinel,above-limits, moisture-sentinel", 3, "found above-limits, moisture-sentinel\n"),
        ("no-data-sentinel", 0, ""),
        ("", 0, ""),
        ("solar-closures", 2, "error: flag 'solar-closures' is unknown: did you mean solar-closure?\n"),
        ("x", 2, "flag 'x' is unknown: use below-limits, "),
    ],
)
def test_a_flag_of_fail_on_exits_with_3(with_outliers, flags, exit_code, message):
    result = run("--store", with_outliers, "--fail-on", flags, "--json")
    assert (result.exit_code, message in result.stderr) == (exit_code, True), result.stderr
    assert json.loads(result.stdout)


@needs.real_bytes
def test_a_real_day_has_one_point_without_moisture_for_one_hour(tmp_path):
    dry = (43.65979956, 243.91050253 - 360)  # the driest of 3,198 cells: 1 % at 09Z, lead 1
    with without_dask() as client:
        hrrr_dask.backfill(
            write_points(tmp_path / "points.csv", [(43.2157, -116.5539), dry]),
            "2018-07-22",
            "2018-07-22",
            tmp_path / "x.zarr",
            client=client,
            source=[str(SHARED_DATA / "archive")],
            lead_hours=1,
            axis_start="2018-07-22",
            variables=["temperature_2m", "dewpoint_2m", "relative_humidity_2m", "CPOFP:surface"],
        )
    found = hrrr_dask.assess(tmp_path / "x.zarr")
    assert counts_of(found) == {
        ("moisture-sentinel", "dewpoint_2m"): 1,
        ("moisture-sentinel", "relative_humidity_2m"): 1,
        ("no-data-sentinel", "cpofp_surface"): 48,
    }
    assert (found.values, found.missing, found.flagged) == (24 * 2 * 4, 0, 2)
    humid, dew = found.examples
    for one, value in ((humid, 1.0), (dew, 209.44637)):
        assert one.value == pytest.approx(value, abs=1e-5)
        assert (one.init_time, one.lead_hours, one.point_id) == (datetime(2018, 7, 22, 9), 1, "p1")
