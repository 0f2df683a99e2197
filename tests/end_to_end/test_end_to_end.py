"""Backfills of a synthetic archive with known values, through a cluster into a store."""

from __future__ import annotations

import functools
import os
import random
import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from support.oracle import (
    as_bits,
    content_digests,
    ledger_keys,
    nearest_cells,
    object_digests,
    read_fields,
    rotate_to_earth,
    without_dask,
)

import hrrr_dask
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import PlanError, StoreAccessError, StoreMismatchError
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.records import GribFile
from hrrr_dask.testing import (
    GridWindow,
    delete,
    drop_message,
    remove_inventories,
    stale_inventory,
    truncate,
    write_archive,
)

WINDOW = GridWindow(288, 794, 14, 18)
DAYS = {
    "start": datetime(2024, 1, 1),
    "end": datetime(2024, 1, 2, 12),
    "cycles": (0, 7, 12),
    "lead_hours": (0, 1, 18, 24),
}
"""The run at 7 ends at 18 h."""

FEW = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m"]
SELECTORS = {
    "t500": ("TMP:500 mb", "temperature_500mb"),
    "u500": ("UGRD:500 mb", "u_component_wind_500mb"),
    "v500": ("VGRD:500 mb", "v_component_wind_500mb"),
    "windmax": ("WIND:10 m above ground:1 hour max", "wind_speed_10m_max"),
    "rain": ("APCP:surface:run acc", "precipitation_run"),
    "skin": ("TMP:surface", "temperature_surface"),
    "low_cloud": ("TCDC:boundary layer cloud layer", "boundary_layer_cloud_cover"),
}
"""Name to the user's selector and the archive's name; each message has a catalogued one beside it."""

LAST_HOUR = {"precipitation_1h", "windmax"}
HOURLY = [name for name, variable in CATALOG.items() if "sfc" in variable.products]
"""Variables of the last hour, which do not exist at lead hour 0."""

WINDS = [(f"u{rest}", f"v{rest}") for rest in ("_component_wind_10m", "_component_wind_80m", "500")]


@pytest.fixture(scope="module")
def client():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """An archive with every variable, two days."""
    return write_archive(tmp_path_factory.mktemp("full"), window=WINDOW, **DAYS)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """An archive with few variables and no decoys, two days; tests copy it before they damage it."""
    names = [*FEW, "precipitation_1h"]
    return write_archive(tmp_path_factory.mktemp("few"), window=WINDOW, variables=names, decoys=False, **DAYS)


@pytest.fixture
def few(pristine, tmp_path):
    root = tmp_path / "archive"
    shutil.copytree(pristine.root, root)
    return replace(pristine, root=root)


@pytest.fixture(scope="module")
def places(full):
    """Points all over the window as (latitude, longitude); two share a cell."""
    rng = np.random.default_rng(11)
    y, x = rng.uniform(0, WINDOW.ny - 1, 12), rng.uniform(0, WINDOW.nx - 1, 12)
    latitude, longitude = WINDOW.latlon(y, x)
    latitude, longitude = np.append(latitude, latitude[0] + 1e-4), np.append(longitude, longitude[0] - 1e-4)
    return np.column_stack([latitude, longitude])


@pytest.fixture(scope="module")
def points(places):
    return points_of(places)


def points_of(places, prefix="p"):
    ids = tuple(f"{prefix}{k}" for k in range(len(places)))
    return Points(point_id=ids, name=ids, latitude=places[:, 0].copy(), longitude=places[:, 1].copy())


def fill(archive, points, store, client, *, start=DAYS["start"], end=DAYS["end"], **settings):
    """Run a backfill with the settings that most tests share."""
    wanted = {"variables": FEW, "cycles": list(DAYS["cycles"]), "lead_hours": [0, 1, 18, 24]}
    wanted |= {"axis_start": "2024-01-01"} | settings
    wanted.setdefault("source", [str(archive.root)])
    return hrrr_dask.backfill(points, start, end, str(store), client=client, **wanted)


@pytest.fixture(scope="module")
def whole(pristine, points, client, tmp_path_factory):
    """The store of the undamaged archive, to compare with."""
    store = tmp_path_factory.mktemp("whole") / "x.zarr"
    report = fill(pristine, points, store, client)
    assert (report.outcome, report.gaps) == ("done", {})
    return store


def cells_and_longitudes(archive, places):
    """Nearest cells and their longitudes, by ecCodes and brute force."""
    latitude, longitude = places_of_cells(archive.window)
    cells = nearest_cells(latitude, longitude, places)
    return cells, longitude[cells]


@functools.cache
def places_of_cells(window):
    """Positions of the cells, by ecCodes, for a file of that window."""
    with tempfile.TemporaryDirectory() as root:
        once = write_archive(
            root, init_times=[DAYS["start"]], lead_hours=[0], window=window, variables=FEW, decoys=False
        )
        field = read_fields(once.path(once.files[0]))[0]
    return field.latitude, field.longitude


def expected_values(archive, places, file, names):
    """Name to values at the points; ``names`` maps names of the store to names of the archive."""
    cells, longitude = cells_and_longitudes(archive, places)
    found = {name: archive.expected(there, file).ravel()[cells] for name, there in names.items()}
    for u, v in WINDS:
        if u in found:
            found[u], found[v] = rotate_to_earth(found[u], found[v], longitude)
    return found


def assert_right(store, archive, places, names, missing=()):
    """Check that every value is the expected one, and NaN where ``missing`` holds (file, name)."""
    written, compared = set(archive.files), 0
    winds = {name for pair in WINDS for name in pair}
    with xr.open_zarr(store) as opened:
        found = opened.load()
        assert set(found.data_vars) == set(names)
        for i, init_time in enumerate(found.init_time.to_numpy()):
            for k, lead in enumerate(found.lead_time.to_numpy()):
                file = GribFile(init_time.astype("datetime64[s]").item(), int(lead / np.timedelta64(1, "h")))
                if file not in written:
                    assert np.isnan(found.isel(init_time=i, lead_time=k).to_array()).all()
                    continue
                wanted = expected_values(archive, places, file, names)
                for name, values in wanted.items():
                    here = found[name][i, k].to_numpy()
                    if (file, name) in missing or (name in LAST_HOUR and file.lead_hours == 0):
                        assert np.isnan(here).all(), (file, name)
                    elif name in winds:
                        np.testing.assert_allclose(here, values, rtol=0, atol=1e-5, err_msg=f"{file} {name}")
                        compared += here.size
                    else:
                        assert np.array_equal(as_bits(here), as_bits(values)), (file, name)
                        compared += here.size
    return compared


SAME = {name: name for name in FEW}


# Values


@pytest.mark.parametrize("with_inventories", [True, False])
def test_every_value_of_every_variable_is_the_archives(full, places, points, client, tmp_path, with_inventories):
    archive = full
    if not with_inventories:
        shutil.copytree(full.root, tmp_path / "bare")
        archive = replace(full, root=tmp_path / "bare")
        remove_inventories(archive)
    names = {name: name for name in HOURLY} | {name: there for name, (_, there) in SELECTORS.items()}
    wanted = [*HOURLY, *(f"{name}={selector}" for name, (selector, _) in SELECTORS.items())]
    report = fill(archive, points, tmp_path / "x.zarr", client, variables=wanted)
    assert (report.outcome, report.gaps, report.files_read) == ("done", {}, 22)
    n_values = (22 * len(names) - 6 * len(LAST_HOUR)) * len(places)
    assert assert_right(tmp_path / "x.zarr", archive, places, names) == n_values
    assert set(to_dataframe(str(tmp_path / "x.zarr")).inventory) == {"idx" if with_inventories else "walk"}


def test_bilinear_values_are_the_weighted_mean_of_the_four_cells_around(full, client, tmp_path):
    rng = np.random.default_rng(5)
    y, x = rng.uniform(0, WINDOW.ny - 1, 8), rng.uniform(0, WINDOW.nx - 1, 8)
    y[0], x[0] = 3.0, 4.0
    latitude, longitude = WINDOW.latlon(y, x)
    points = points_of(np.column_stack([latitude, longitude]))
    fill(full, points, tmp_path / "x.zarr", client, method="bilinear", variables=["dewpoint_2m", *FEW[1:]])
    fy, fx = y - np.floor(y), x - np.floor(x)
    corners = [(0, 0, (1 - fy) * (1 - fx)), (0, 1, (1 - fy) * fx), (1, 0, fy * (1 - fx)), (1, 1, fy * fx)]
    with xr.open_zarr(tmp_path / "x.zarr") as found:
        for i, k, file in ((0, 1, GribFile(datetime(2024, 1, 1), 1)), (5, 2, GribFile(datetime(2024, 1, 2, 12), 18))):
            wanted = dict.fromkeys(("dewpoint_2m", *FEW[1:]), 0.0)
            for dy, dx, weight in corners:
                row = np.minimum(np.floor(y).astype(int) + dy, WINDOW.ny - 1)
                column = np.minimum(np.floor(x).astype(int) + dx, WINDOW.nx - 1)
                here = {name: full.expected(name, file)[row, column] for name in wanted}
                here[FEW[1]], here[FEW[2]] = rotate_to_earth(here[FEW[1]], here[FEW[2]], WINDOW.latlon(row, column)[1])
                wanted = {name: value + weight * here[name] for name, value in wanted.items()}
            for name, values in wanted.items():
                np.testing.assert_allclose(found[name][i, k], values, rtol=1e-6, atol=2e-5, err_msg=name)


def test_alaska_values_are_those_of_the_brute_force_nearest_cells(client, tmp_path):
    window = GridWindow(400, 500, 12, 12, "alaska")
    init = datetime(2024, 1, 1, 6)
    archive = write_archive(tmp_path / "archive", init_times=[init], lead_hours=[1], window=window, variables=FEW)
    latitude, longitude = window.latlon(np.array([2.3, 8.8, 5.1]), np.array([3.2, 9.9, 0.4]))
    places = np.column_stack([latitude, longitude])
    wanted = {"start": init, "end": init, "cycles": [6], "lead_hours": [1], "domain": "alaska"}
    fill(archive, points_of(places), tmp_path / "x.zarr", client, **wanted)
    cells, longitude = cells_and_longitudes(archive, places)
    u, v, t = (archive.expected(name, archive.files[0]).ravel()[cells].astype(float) for name in (*FEW[1:], FEW[0]))
    angle = np.radians((longitude - 225 + 180) % 360 - 180)  # polar stereographic: a cone constant of one
    with xr.open_zarr(tmp_path / "x.zarr") as found:
        here = found.sel(init_time=init).isel(lead_time=0)
        assert np.array_equal(here[FEW[0]], t)
        np.testing.assert_allclose(here[FEW[1]], u * np.cos(angle) + v * np.sin(angle), rtol=0, atol=1e-5)
        np.testing.assert_allclose(here[FEW[2]], v * np.cos(angle) - u * np.sin(angle), rtol=0, atol=1e-5)


# Gaps


def test_leads_beyond_a_runs_reach_are_nan_without_being_gaps(pristine, places, whole):
    assert assert_right(whole, pristine, places, SAME) == 22 * len(FEW) * len(places)
    with xr.open_zarr(whole) as found:
        meaning = dict(zip(found.status.flag_values, found.status.flag_meanings.split(), strict=True))
        status = np.vectorize(meaning.get)(found.status.to_numpy())
        assert found[FEW[0]].sel(lead_time="24h")[1].isnull().all()
    beyond = np.zeros(status.shape, dtype=bool)
    beyond[[1, 4], 3] = True
    assert set(status[beyond]) == {"not-in-this-era"}
    assert set(status[~beyond]) == {"complete"}
    assert hrrr_dask.status(str(whole)).gaps == {}
    rows = to_dataframe(str(whole))
    assert not ((rows.init_time.dt.hour == 7) & (rows.lead_hours == 24)).any()


def test_each_fault_is_a_gap_with_its_reason_and_the_rest_is_there(few, places, points, client, tmp_path):
    lost, cut, dropped, stale, empty, cut_elsewhere = few.files[1], few.files[4], few.files[6], *few.files[8:11]
    delete(few, lost)
    truncate(few, cut, 300)
    drop_message(few, dropped, "temperature_2m")
    stale_inventory(few, stale)
    truncate(few, empty, 0)
    truncate(few, cut_elsewhere, few.path(cut_elsewhere).stat().st_size - 4)  # in a message that is not wanted
    report = fill(few, points, tmp_path / "x.zarr", client)
    assert report.exit_code == 3
    assert report.files_read == 22
    assert report.gaps == {"truncated": 6, "not-published": 3, "message-not-found": 1}
    gone = {(file, name) for file in (lost, cut, empty) for name in FEW} | {(dropped, "temperature_2m")}
    assert assert_right(tmp_path / "x.zarr", few, places, SAME, gone) == (22 * 3 - 10) * len(places)

    rows = to_dataframe(str(tmp_path / "x.zarr"))
    why = {
        GribFile(init.to_pydatetime(), lead): (set(group.outcome) - {"complete"}, " ".join(group.detail), group)
        for (init, lead), group in rows.groupby(["init_time", "lead_hours"])
    }
    assert {file for file, (outcome, _, _) in why.items() if outcome} == {lost, cut, dropped, empty}
    assert why[lost][0] == {"not-published"}
    assert few.path(lost).name in why[lost][1]
    assert why[cut][0] == {"truncated"}
    assert "300" in why[cut][1]
    assert why[dropped][0] == {"message-not-found"}
    assert "TMP:2 m above ground" in why[dropped][1]
    assert set(why[stale][2].inventory) == {"walk"}
    assert hrrr_dask.status(str(tmp_path / "x.zarr")).gaps == report.gaps


def test_a_component_whose_partner_is_missing_is_missing_too(few, places, points, client, tmp_path):
    file = few.files[0]
    drop_message(few, file, "v_component_wind_10m")
    report = fill(few, points, tmp_path / "x.zarr", client)
    assert report.gaps_by_variable == {"u_component_wind_10m": 1, "v_component_wind_10m": 1}
    gone = {(file, name) for name in FEW[1:]}
    assert_right(tmp_path / "x.zarr", few, places, SAME, gone)


def test_the_second_source_stands_in_for_what_the_first_lacks(few, pristine, places, points, client, tmp_path, whole):
    delete(few, few.files[0])
    truncate(few, few.files[3], 100)
    drop_message(few, few.files[7], "temperature_2m")
    sources = [str(few.root), str(pristine.root)]
    report = fill(few, points, tmp_path / "x.zarr", client, source=sources)
    assert (report.outcome, report.gaps) == ("done", {})
    assert content_digests(tmp_path / "x.zarr", dates=False) == content_digests(whole, dates=False)
    used = to_dataframe(str(tmp_path / "x.zarr")).set_index(["init_time", "lead_hours", "variable"])
    elsewhere = {key for key, source in used.source.items() if source.startswith(str(pristine.root))}
    lost = [(few.files[0], FEW), (few.files[3], FEW), (few.files[7], ["temperature_2m"])]
    assert elsewhere == {(file.init_time, file.lead_hours, name) for file, names in lost for name in names}
    why = used.loc[(few.files[7].init_time, few.files[7].lead_hours, "temperature_2m")]
    assert (why.outcome, why.detail.startswith("message-not-found (")) == ("complete", True)


POISON = """
import os
from hrrr_dask.job import pipeline
healthy = pipeline.extract_file
def extract_or_die(reading, job):
    if reading.file.label == os.environ["POISON"]:
        os._exit(139)
    return healthy(reading, job)
pipeline.extract_file = extract_or_die
"""


def test_a_file_that_kills_its_worker_and_then_its_own_process_is_the_only_gap(
    few, places, points, client, whole, tmp_path
):
    deadly = few.files[5]
    (tmp_path / "sitecustomize.py").write_text(POISON)  # run by each process that starts, so also in new workers
    path = os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    with pytest.MonkeyPatch.context() as patch, dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        patch.setenv("POISON", deadly.label)
        patch.setenv("PYTHONPATH", path)
        here = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
        with LocalCluster(**here) as cluster, Client(cluster) as poisoned:
            report = fill(few, points, tmp_path / "x.zarr", poisoned)
    rows = to_dataframe(str(tmp_path / "x.zarr"))
    lost = rows[rows.outcome != "complete"]
    assert set(lost.detail) == {"reading this file crashes its process with code 139: "}
    gone = {(deadly, name) for name in FEW}
    assert {
        (GribFile(row.init_time.to_pydatetime(), row.lead_hours), row.variable) for row in lost.itertuples(index=False)
    } == gone
    assert report.gaps == {"poisoned": len(gone)}
    assert report.first_files_with_gaps == (deadly.label,)
    assert assert_right(tmp_path / "x.zarr", few, places, SAME, gone) == (22 * 3 - len(gone)) * len(places)

    assert fill(few, points, tmp_path / "x.zarr", client).files_read == 0, "an old file that kills is not tried again"
    again = fill(few, points, tmp_path / "x.zarr", client, retry_gaps=True)
    assert (again.files_read, again.outcome) == (1, "done")
    assert content_digests(tmp_path / "x.zarr", dates=False) == content_digests(whole, dates=False)


# The same bytes


def test_the_number_of_workers_and_the_order_of_completion_leave_no_trace(pristine, points, whole, tmp_path):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as one,
        Client(one) as alone,
    ):
        fill(pristine, points, tmp_path / "alone.zarr", alone)
    assert object_digests(tmp_path / "alone.zarr") == object_digests(whole)
    for seed in range(3):
        store = tmp_path / f"shuffled{seed}.zarr"
        with without_dask(random.Random(seed).shuffle) as here:
            fill(pristine, points, store, here)
        assert object_digests(store) == object_digests(whole)


def test_a_store_that_grew_is_bit_identical_to_one_made_at_once(few, points, client, whole, tmp_path):
    store = tmp_path / "x.zarr"
    first = fill(few, points, store, client, end="2024-01-01")
    assert (first.files_read, first.files_wanted) == (11, 11)
    for file in few.files[:11]:
        few.path(file).unlink()  # so that reading the first day again finds nothing
    second = fill(few, points, store, client, end="2024-01-02")
    assert (second.files_read, second.files_done_before, second.gaps) == (11, 11, {})
    assert content_digests(store, dates=False) == content_digests(whole, dates=False)


def test_growing_by_partitions_of_a_day_is_bit_identical_too(pristine, points, client, tmp_path):
    fill(pristine, points, tmp_path / "at_once.zarr", client, partition_days=1)
    before = {}
    for end in ("2024-01-01", "2024-01-02"):
        fill(pristine, points, tmp_path / "grown.zarr", client, end=end, partition_days=1)
        now = object_digests(tmp_path / "grown.zarr", ledger=True)
        shards = {key: digest for key, digest in before.items() if "/c/0" in key or key.startswith(".hrrr/")}
        assert shards.items() <= now.items()
        before = now
    assert content_digests(tmp_path / "grown.zarr") == content_digests(tmp_path / "at_once.zarr")


def test_a_store_of_longer_partitions_is_continued_in_smaller_steps(
    pristine, points, client, whole, tmp_path, monkeypatch
):
    store = tmp_path / "x.zarr"
    for path, end in ((store, "2024-01-01"), (tmp_path / "at_once.zarr", "2024-01-02")):
        fill(pristine, points, path, client, end=end, partition_days=30)
    monkeypatch.setattr("hrrr_dask.planning.plan.choose_step_files", lambda *_: 4)
    assert fill(pristine, points, store, client).files_read == 11
    entries = sorted((store / ".hrrr" / "ledger").rglob("*.parquet"))
    assert len(entries) == 1 + 3, "eleven files in steps of four"
    assert content_digests(store, dates=False) == content_digests(tmp_path / "at_once.zarr", dates=False)


def test_a_file_that_is_published_later_fills_its_gap_and_touches_nothing_else(
    few, pristine, points, client, whole, tmp_path
):
    store, late = tmp_path / "x.zarr", few.files[2]
    delete(few, late)
    assert fill(few, points, store, client).gaps == {"not-published": 3}
    shutil.copy(pristine.path(late), few.path(late))
    assert fill(few, points, store, client).files_read == 0, "an old gap is not expected to heal"
    healed = fill(few, points, store, client, retry_gaps=True)
    assert (healed.files_read, healed.outcome) == (1, "done")
    assert content_digests(store, dates=False) == content_digests(whole, dates=False)
    assert len(ledger_keys(store)) == 2


def test_a_retry_that_fails_hides_no_value(few, points, client, whole, tmp_path):
    store = tmp_path / "x.zarr"
    drop_message(few, few.files[2], "temperature_2m")
    fill(few, points, store, client)
    before = object_digests(store)
    delete(few, few.files[2])
    again = fill(few, points, store, client, retry_gaps=True)
    assert again.files_read == 1
    assert sum(again.gaps.values()) == 1
    with xr.open_zarr(store) as found, xr.open_zarr(whole) as unbroken:
        for name in FEW[1:]:
            assert np.array_equal(as_bits(found[name]), as_bits(unbroken[name]), equal_nan=True)
    values = {key: digest for key, digest in object_digests(store).items() if not key.startswith("status/")}
    assert values == {key: digest for key, digest in before.items() if not key.startswith("status/")}


def test_several_partitions_give_the_values_of_one(pristine, points, client, places, tmp_path):
    report = fill(pristine, points, tmp_path / "x.zarr", client, partition_days=1)
    assert report.partitions_written == 2
    assert_right(tmp_path / "x.zarr", pristine, places, SAME)


# Refusals


def test_another_request_for_a_store_is_refused_with_all_that_differs(pristine, places, points, client, whole):
    before = object_digests(whole, ledger=True)
    with pytest.raises(StoreMismatchError) as refused:
        fill(pristine, points_of(places[:5], "q"), whole, client, variables=[*FEW[:1], "wind_gust_surface"])
    text = str(refused.value)
    assert "points: 5 of 5 are not in the store (q0, q1, q2, q3, q4); hrrr-dask add-points adds new ones" in text
    assert "variables: only asked for: wind_gust_surface=GUST:surface" in text
    assert "hrrr-dask add-variables adds new ones" in text
    assert "--store" in text
    with pytest.raises(StoreMismatchError, match="lead-hours"):
        fill(pristine, points, whole, client, lead_hours=[0, 1])
    with pytest.raises(StoreMismatchError, match="points"):
        fill(pristine, points_of(places, "q"), whole, client)
    with pytest.raises(StoreMismatchError, match=r"partition-days \d+, which cannot be changed to 3"):
        fill(pristine, points, whole, client, partition_days=3)
    with pytest.raises(StoreMismatchError, match="axis-start 2024-01-01, which cannot be changed"):
        fill(pristine, points, whole, client, axis_start="2023-12-31")
    with pytest.raises(PlanError, match="begins on 2024-01-01, which cannot be changed, and the period on 2023-12-31"):
        fill(pristine, points, whole, client, start=datetime(2023, 12, 31))
    assert object_digests(whole, ledger=True) == before


def test_a_foreign_zarr_store_is_left_alone(pristine, points, client, tmp_path):
    store = tmp_path / "theirs.zarr"
    xr.Dataset({"theirs": ("x", [1.0, 2.0])}).to_zarr(store, zarr_format=3, consolidated=False)
    before = object_digests(store, ledger=True)
    with pytest.raises(StoreMismatchError, match="hrrr_dask did not make"):
        fill(pristine, points, store, client)
    assert object_digests(store, ledger=True) == before


@pytest.mark.parametrize("name", ["thesis.tex", "photos/holiday.jpg"])
def test_a_directory_with_other_files_is_left_alone(pristine, points, client, tmp_path, name):
    (tmp_path / "home" / name).parent.mkdir(parents=True)
    (tmp_path / "home" / name).write_text("three years of work")
    with pytest.raises(StoreMismatchError, match=f"not empty.*{Path(name).parts[0]}"):
        fill(pristine, points, tmp_path / "home", client)
    assert list(object_digests(tmp_path / "home", ledger=True)) == [name]


def test_a_zarr_store_of_format_2_is_left_alone(pristine, points, client, tmp_path):
    store = tmp_path / "theirs.zarr"
    xr.Dataset({"theirs": ("x", [1.0, 2.0])}).to_zarr(store, zarr_format=2, consolidated=False)
    before = object_digests(store, ledger=True)
    with pytest.raises(StoreMismatchError, match="not empty"):
        fill(pristine, points, store, client)
    assert object_digests(store, ledger=True) == before


def test_a_place_that_cannot_be_written_to_is_refused_in_words(pristine, points, client, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreAccessError, match=r"file/x\.zarr cannot be opened"):
        fill(pristine, points, tmp_path / "file" / "x.zarr", client)
    with pytest.raises((StoreAccessError, StoreMismatchError), match="file"):
        fill(pristine, points, tmp_path / "file", client)


def test_points_outside_the_grid_are_all_named_and_nothing_is_written(pristine, places, client, tmp_path):
    outside = np.vstack([places[:2], [(45.0, -100.0), (32.3, -90.0)]])
    with pytest.raises(hrrr_dask.errors.PointsError, match=r"2 of 4 points(?s:.*)p2(?s:.*)p3"):
        fill(pristine, points_of(outside), tmp_path / "x.zarr", client)
    assert not (tmp_path / "x.zarr").exists()


def test_a_day_that_the_archive_does_not_have_ends_before_anything_is_written(pristine, points, client, tmp_path):
    with pytest.raises(hrrr_dask.errors.NotPublishedError, match="check the dates"):
        fill(pristine, points, tmp_path / "x.zarr", client, start=datetime(2024, 3, 1), end=datetime(2024, 3, 1, 12))
    assert not (tmp_path / "x.zarr").exists()
