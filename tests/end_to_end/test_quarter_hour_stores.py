"""Stores of the sub-hourly product: values, gaps of one quarter, growth, kills, and stores of version 0.1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from support.oracle import (
    as_bits,
    cli_command,
    content_digests,
    ledger_keys,
    nearest_cells,
    object_digests,
    read_fields,
    rotate_to_earth,
    run_cli,
    without_dask,
    write_points,
)

import hrrr_dask
from hrrr_dask.audit.status import compact, status
from hrrr_dask.audit.verify import verify
from hrrr_dask.catalog.lead_times import lead_times_of
from hrrr_dask.catalog.variables import default_variables
from hrrr_dask.errors import ConfigError, PlanError, StoreMismatchError
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.testing import GridWindow, drop_message, remove_inventories, write_archive

WINDOW = GridWindow(288, 794, 12, 16)
NAMES = default_variables("subh")
RAMPS = ("temperature_2m", "u_component_wind_10m_5min", "v_component_wind_10m_5min", "precipitation_15min")
PAIRS = [("u_component_wind_10m", "v_component_wind_10m"), ("u_component_wind_80m", "v_component_wind_80m"), RAMPS[1:3]]
STARTS = ("2024-01-01T00", "2024-01-01T02")
PLACES = np.column_stack(WINDOW.latlon(np.array([1.2, 5.4, 9.8]), np.array([2.3, 7.7, 13.1])))


def points_of(places, prefix="p"):
    ids = tuple(f"{prefix}{k}" for k in range(len(places)))
    return Points(point_id=ids, name=ids, latitude=places[:, 0].copy(), longitude=places[:, 1].copy())


def fill(archive, store, period=STARTS, points=PLACES, **settings):
    """Run a backfill in this process."""
    given = {"product": "subh", "lead_hours": "0-3", "axis_start": period[0][:10], "source": [str(archive.root)]}
    with without_dask() as client:
        return hrrr_dask.backfill(points_of(points), *period, str(store), client=client, **(given | settings))


def make_archive(root, starts=range(3), day=datetime(2024, 1, 1), **more):
    inits = [day.replace(hour=hour) for hour in starts]
    return write_archive(root, init_times=inits, lead_hours=range(4), window=WINDOW, product="subh", **more)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("subh"))


@pytest.fixture(scope="module")
def whole(archive, tmp_path_factory):
    """The store of the undamaged archive; never changed."""
    store = tmp_path_factory.mktemp("whole") / "q.zarr"
    report = fill(archive, store)
    assert (report.outcome, report.gaps, report.files_read) == ("done", {}, 12)
    return store


def assert_right(archive, store, names=NAMES, places=PLACES):
    """Compare every value with the known function; return the number of values."""
    path = archive.path(archive.files[0], 0) if archive.files[0].lead_hours == 0 else archive.path(archive.files[0])
    field = read_fields(path)[0]
    cells = nearest_cells(field.latitude, field.longitude, places)
    compared = 0
    with xr.open_zarr(store, chunks=None) as found:
        for file in archive.files:
            for lead in lead_times_of(file):
                here = found.sel(init_time=file.init_time, lead_time=np.timedelta64(lead, "m"))
                assert here.valid_time == np.datetime64(file.init_time) + np.timedelta64(lead, "m")
                wanted = {name: archive.expected(name, file, lead).ravel()[cells] for name in names}
                for u, v in PAIRS:
                    if u in wanted:
                        wanted[u], wanted[v] = rotate_to_earth(wanted[u], wanted[v], field.longitude[cells])
                for name in names:
                    values = here[name].to_numpy()
                    if lead == 0 and name.endswith(("_15min", "_5min")):
                        assert np.isnan(values).all()
                        continue
                    if any(name in pair for pair in PAIRS):
                        np.testing.assert_allclose(values, wanted[name], rtol=0, atol=1e-5, err_msg=f"{name} {lead}")
                    else:
                        assert np.array_equal(as_bits(values), as_bits(wanted[name])), (name, lead)
                    compared += len(places)
    return compared


# Values


def test_every_value_is_the_known_one_at_thirteen_lead_times(archive, whole):
    assert assert_right(archive, whole) == 3 * 3 * (13 * len(NAMES) - 2)
    with xr.open_zarr(whole) as found:
        assert found.lead_time.to_numpy().tolist() == [k * 15 * 60 * 10**9 for k in range(13)]
        assert found.lead_time.dtype == "timedelta64[ns]"
        assert (found.valid_time == found.init_time + found.lead_time).all()
    rows = to_dataframe(str(whole))
    assert set(rows.inventory) == {"idx"}
    assert rows.groupby("lead_hours").lead_minutes.unique().map(sorted).to_dict() == {
        0: [0],
        1: [15, 30, 45, 60],
        2: [75, 90, 105, 120],
        3: [135, 150, 165, 180],
    }
    assert rows.groupby(["init_time", "lead_hours"]).file_requests.nunique().eq(1).all(), "figures of the file"


def test_means_and_sums_are_told_from_instants_also_without_an_inventory(tmp_path):
    bare = make_archive(tmp_path / "bare", range(1))
    remove_inventories(bare)
    fill(bare, tmp_path / "x.zarr", STARTS[:1] * 2, variables=list(RAMPS))
    assert assert_right(bare, tmp_path / "x.zarr", RAMPS) == 3 * (13 * len(RAMPS) - 3)
    assert set(to_dataframe(str(tmp_path / "x.zarr")).inventory) == {"walk"}


def test_files_with_old_names_are_found_where_the_new_ones_do_not_exist(tmp_path):
    day = datetime(2017, 1, 1)
    old = make_archive(tmp_path / "old", range(2), day, old_names=True)
    report = fill(old, tmp_path / "x.zarr", ("2017-01-01T00", "2017-01-01T01"))
    assert (report.outcome, report.gaps, report.files_read) == ("done", {}, 8)
    assert assert_right(old, tmp_path / "x.zarr") == 2 * 3 * (13 * len(NAMES) - 2)
    sources = set(to_dataframe(str(tmp_path / "x.zarr")).source)
    assert len(sources) == 2 * 13
    assert str(old.root / "hrrr.20170101/conus/hrrr.t01z.wrfsubhf0245.grib2") in sources
    found = verify(tmp_path / "x.zarr", every_file=True)
    assert (found.outcome, found.files, found.values_compared) == ("equal", 8, 2 * 3 * (13 * len(NAMES) - 2))
    (old.root / "hrrr.20170101/conus/hrrr.t01z.wrfsubhf0245.grib2").unlink()
    report = fill(old, tmp_path / "y.zarr", ("2017-01-01T00", "2017-01-01T01"))
    assert report.gaps == {"not-published": len(NAMES)}, "one lead time only"


def test_some_lead_times_are_exactly_those_that_are_named(archive, tmp_path):
    report = fill(archive, tmp_path / "x.zarr", lead_hours=None, lead_times="15min,1h-1h30min,3h")
    assert (report.files_wanted, report.files_read) == (9, 9)
    with xr.open_zarr(tmp_path / "x.zarr") as few, xr.open_zarr(tmp_path / "x.zarr") as found:
        assert (few.lead_time.to_numpy() / np.timedelta64(1, "m")).tolist() == [15, 60, 75, 90, 180]
        assert np.isfinite(found.temperature_2m.isel(init_time=slice(3))).all()


# Verify, status, quality, gaps


def test_all_files_are_verified_each_read_once(archive, whole):
    found = verify(whole, every_file=True)
    assert (found.outcome, found.files, found.files_in_store) == ("equal", 12, 12)
    assert found.values_compared == found.values_equal == 3 * 3 * (13 * len(NAMES) - 2)
    assert found.bytes_read == sum(archive.path(file).stat().st_size for file in archive.files)


def test_status_and_plan_count_files_and_not_quarters(archive, whole):
    found = status(whole)
    assert (found.files_complete, found.files_with_gaps, found.gaps) == (12, 0, {})
    plan = hrrr_dask.plan(points_of(PLACES), *STARTS, product="subh", lead_hours="0-3")
    assert (plan.n_files, plan.n_leads, plan.partition_files) == (12, 39, plan.layout.partition_days * 24 * 4)
    assert plan.bytes_to_read > 39 * 9 * 1_000_000, "each lead time has messages of its own"


def test_a_gap_of_one_quarter_heals_and_nothing_else_is_read_again(tmp_path):
    own = make_archive(tmp_path / "archive")
    hurt = own.files[2]
    content, inventory = own.path(hurt).read_bytes(), own.inventory_path(hurt).read_text()
    drop_message(own, hurt, "temperature_2m", 90)
    report = fill(own, tmp_path / "x.zarr")
    assert report.gaps == {"message-not-found": 1}
    (gap,) = status(tmp_path / "x.zarr", gaps=True).gap_list
    assert (gap.lead_minutes, gap.variables, gap.init_time) == (90, ("temperature_2m",), hurt.init_time)
    assert "at a lead time of 1 h 30 min" in gap.detail
    found = status(tmp_path / "x.zarr")
    assert (found.files_complete, found.files_with_gaps) == (11, 1)
    own.path(hurt).write_bytes(content)
    own.inventory_path(hurt).write_text(inventory)
    before = len(to_dataframe(str(tmp_path / "x.zarr")))
    report = fill(own, tmp_path / "x.zarr", retry_gaps=True)
    assert (report.files_read, report.gaps) == (1, {})
    assert len(to_dataframe(str(tmp_path / "x.zarr"))) == before + 1, "one value of one lead time"
    fill(own, tmp_path / "undisturbed.zarr")
    dates = {"dates": False}  # of the file that was written again
    assert content_digests(tmp_path / "x.zarr", **dates) == content_digests(tmp_path / "undisturbed.zarr", **dates)
    assert fill(own, tmp_path / "x.zarr").files_read == 0


def test_points_and_variables_are_added_to_all_quarters(archive, tmp_path):
    fill(archive, tmp_path / "x.zarr", points=PLACES[:2])
    with without_dask() as client:
        given = {"client": client, "source": [str(archive.root)]}
        report = hrrr_dask.add_points(str(tmp_path / "x.zarr"), points_of(PLACES), **given)
        assert (report.files_read, report.gaps) == (12, {})
        hrrr_dask.add_variables(str(tmp_path / "x.zarr"), list(RAMPS), **given)
        with pytest.raises(ConfigError, match=r"subh files have no relative_humidity_2m, found in sfc and prs and nat"):
            hrrr_dask.add_variables(str(tmp_path / "x.zarr"), "relative_humidity_2m", **given)
    names = tuple(dict.fromkeys((*NAMES, *RAMPS)))
    assert assert_right(archive, tmp_path / "x.zarr", names) == 3 * 3 * (13 * len(names) - 5)
    assert verify(tmp_path / "x.zarr", every_file=True).outcome == "equal"


# What is refused


def test_lead_times_and_variables_that_a_product_does_not_have_are_refused(archive, tmp_path):
    with pytest.raises(ConfigError, match="multiples of 1 h, the step of sfc; product subh has quarter hours"):
        fill(archive, tmp_path / "x.zarr", product="sfc", lead_hours=None, lead_times="15min")
    with pytest.raises(ConfigError, match="lead-hours and lead-times say the same in two ways"):
        fill(archive, tmp_path / "x.zarr", lead_times="15min")
    with pytest.raises(ConfigError, match=r"subh files have no relative_humidity_2m, surface_roughness, found in sfc"):
        fill(archive, tmp_path / "x.zarr", variables=["relative_humidity_2m", "temperature_2m", "surface_roughness"])
    with pytest.raises(ConfigError, match=r"sfc files have no precipitation_15min, found in subh"):
        fill(archive, tmp_path / "x.zarr", product="sfc", variables="precipitation_15min")
    with pytest.raises(
        PlanError, match=r"lead times 18 h 15 min, 18 h 30 min are not reached .* the furthest here is 18"
    ):
        fill(archive, tmp_path / "x.zarr", lead_hours=None, lead_times="18h15min,18h30min")
    assert not (tmp_path / "x.zarr").exists()


def test_a_store_keeps_its_lead_times_and_its_product(whole, archive, tmp_path):
    with pytest.raises(StoreMismatchError, match=r"lead-times: only in the store: 0 h, 30 min.*; only asked for: 4 h"):
        fill(archive, whole, lead_hours=None, lead_times="15min,4h")
    assert fill(archive, whole, product=None, lead_hours="0-3").files_read == 0, "the product is the store's"
    assert fill(archive, whole, product=None, lead_hours=None, lead_times="0h-3h").files_read == 0


# The command line, killed and resumed


def test_a_command_that_was_killed_is_completed_bit_identically(tmp_path):
    days = [datetime(2024, 1, 1), datetime(2024, 1, 2)]
    given = {"lead_hours": range(4), "window": WINDOW, "product": "subh"}
    inits = [day.replace(hour=hour) for day in days for hour in range(24)]
    archive = write_archive(tmp_path / "archive", init_times=inits, **given)
    options = {
        "points": write_points(tmp_path / "points.csv", PLACES),
        "start": "2024-01-01",
        "end": "2024-01-02",
        "product": "subh",
        "lead_hours": "0-3",
        "source": archive.root,
        "axis_start": "2024-01-01",
        "partition_days": 1,
        "workers": 1,
        "json": True,
    }
    code, undisturbed, said = run_cli("backfill", store=tmp_path / "whole.zarr", **options)
    assert (code, undisturbed["files_read"]) == (0, 192), said
    killed = tmp_path / "killed.zarr"
    process = subprocess.Popen(
        cli_command("backfill", store=killed, **options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while not ledger_keys(killed) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    code, rest, said = run_cli("backfill", store=killed, **options)
    assert code == 0, said
    assert rest["files_read"] <= 96, "what was committed is not read again"
    assert content_digests(killed) == content_digests(tmp_path / "whole.zarr")
    with xr.open_zarr(killed) as found:
        assert found.sizes["lead_time"] == 13
        assert np.isfinite(found.temperature_2m).all()
    assert run_cli("verify", store=killed, sample=5, json=True)[0] == 0


# Stores of version 0.1


def forget_minutes(store):
    """Make the ledger of a store one of version 0.1, without the column lead_minutes."""
    for key in ledger_keys(store):
        table = pq.read_table(store / key)
        pq.write_table(table.drop_columns("lead_minutes"), store / key)


@pytest.mark.parametrize("product", ["sfc", "subh"])
def test_a_store_of_full_hours_from_version_0_1_opens_verifies_and_grows(product, archive, tmp_path):
    own = archive
    if product == "sfc":
        own = write_archive(
            tmp_path / "sfc", init_times=[f.init_time for f in archive.files], lead_hours=range(4), window=WINDOW
        )
    names = ("temperature_2m", "dewpoint_2m")
    settings = {"product": product, "variables": names[:1], "lead_hours": None, "lead_times": "0h-3h/1h"}
    store = tmp_path / "x.zarr"
    fill(own, store, (STARTS[0], STARTS[0]), **settings)
    root = json.loads((store / "zarr.json").read_bytes())["attributes"]["hrrr_dask"]
    root = json.loads(root) if isinstance(root, str) else root
    assert root["lead_hours"] == [0, 1, 2, 3], "as version 0.1 wrote it"
    forget_minutes(store)
    before = object_digests(store, ledger=True)
    assert status(store).files_complete == 4
    assert verify(store, every_file=True).outcome == "equal"
    again = settings | {"lead_times": None, "lead_hours": "0-3"}  # the command of then
    assert fill(own, store, (STARTS[0], STARTS[0]), **again).files_read == 0
    assert object_digests(store, ledger=True) == before
    assert fill(own, store, **again).files_read == 8
    with without_dask() as client:
        hrrr_dask.add_variables(str(store), names[1], client=client, source=[str(own.root)])
    compact(store)
    assert status(store).files_complete == 12
    assert set(to_dataframe(str(store)).lead_minutes) == {0, 60, 120, 180}
    assert verify(store, every_file=True).outcome == "equal"
    fill(own, tmp_path / "new.zarr", **(settings | {"variables": list(names)}))
    assert content_digests(store) == content_digests(tmp_path / "new.zarr")
