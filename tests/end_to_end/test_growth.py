"""Growing stores: newer runs, older runs, new points and new variables, while others write to them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support.oracle import as_bits, content_digests, ledger_keys, object_digests, without_dask
from support.specs import race_write

import hrrr_dask
import hrrr_dask.audit.assess
import hrrr_dask.audit.checksums
import hrrr_dask.audit.status
import hrrr_dask.audit.verify
from hrrr_dask import api, audit
from hrrr_dask.errors import ConfigError, PointsError, StoreMismatchError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.store.existing import GROWTH_PREFIX
from hrrr_dask.store.store import Store
from hrrr_dask.testing import GridWindow, expected_field, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
NAMES = ["temperature_2m", "wind_gust_surface"]
CELLS = [(2, 3), (5, 8), (3, 4)]
"""Row and column of the cell of each point."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Four days of two runs, two lead times."""
    root = tmp_path_factory.mktemp("growing")
    return write_archive(
        root / "archive",
        start=datetime(2024, 1, 1),
        end=datetime(2024, 1, 4, 12),
        cycles=[0, 12],
        lead_hours=[0, 1],
        variables=NAMES,
        window=WINDOW,
    )


def places(*which):
    latitude, longitude = WINDOW.latlon(*np.array([CELLS[k] for k in which], dtype=float).T)
    return pd.DataFrame({"point_id": [f"p{k}" for k in which], "latitude": latitude, "longitude": longitude})


@pytest.fixture
def fill(archive, tmp_path):
    def one(start="2024-01-02", end="2024-01-02", points=(0, 1), name="x.zarr", reorder=reversed, **settings):
        wanted = {"cycles": [0, 12], "lead_hours": [0, 1], "variables": NAMES[:1], "partition_days": 1} | settings
        with without_dask(reorder) as client:
            return hrrr_dask.backfill(
                places(*points), start, end, str(tmp_path / name), client=client, source=[str(archive.root)], **wanted
            )

    return one


def assert_right(store, *, points, names, days):
    """Check that every value of those days is the archive's, and that every file is complete."""
    with hrrr_dask.open_dataset(str(store)) as found:
        part = found.sel(init_time=slice(f"2024-01-0{days[0]}", f"2024-01-0{days[-1]}"))
        assert part.sizes == {"init_time": 2 * len(days), "lead_time": 2, "point": len(points)}
        assert sorted(part.data_vars) == sorted(names)
        assert (part.status == 1).all()
        for name in names:
            for i, init in enumerate(part.init_time.values.astype("datetime64[s]").tolist()):
                for lead in (0, 1):
                    field = expected_field(name, init, 60 * lead, WINDOW)
                    right = [field[CELLS[k]] for k in points]
                    assert np.array_equal(as_bits(part[name][i, lead]), as_bits(right)), (name, init, lead)


def test_runs_before_and_after_what_is_there_are_added_and_nothing_else_is_read(fill, tmp_path):
    store = tmp_path / "x.zarr"
    assert fill().files_read == 4
    before = object_digests(store)
    assert fill("2024-01-01", "2024-01-03").files_read == 8
    after = object_digests(store)
    data = {key for key in before if "/c/" in key and not key.startswith("valid_time")}
    assert {key for key in data if before[key] != after[key]} == set(), "no shard was rewritten"
    assert_right(store, points=(0, 1), names=NAMES[:1], days=(1, 2, 3))
    fill("2024-01-01", "2024-01-03", name="at_once.zarr")
    assert content_digests(store) == content_digests(tmp_path / "at_once.zarr")


def test_an_update_reads_the_runs_that_came_since(fill, archive, tmp_path):
    store = str(tmp_path / "x.zarr")
    fill("2024-01-01", "2024-01-02")
    with without_dask() as client:
        report = hrrr_dask.update(store, end="2024-01-04", client=client)
        again = hrrr_dask.update(store, end="2024-01-04", client=client)
    assert (report.files_read, report.files_done_before, report.outcome) == (8, 8, "done")
    assert again.files_read == 0
    assert_right(store, points=(0, 1), names=NAMES[:1], days=(1, 2, 3, 4))
    assert set(to_dataframe(store).source.str.startswith(str(archive.root))) == {True}, "the store knows its source"


def test_an_update_gathers_a_ledger_of_many_entries(fill, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "MAX_ENTRIES", 2)
    store = tmp_path / "x.zarr"
    fill("2024-01-01", "2024-01-03")
    rows = len(to_dataframe(str(store)))
    with without_dask() as client:
        hrrr_dask.update(str(store), end="2024-01-03", client=client)
    assert ledger_keys(store) == []
    assert len(to_dataframe(str(store))) == rows
    assert fill("2024-01-01", "2024-01-03").files_read == 0


def test_new_points_are_read_out_of_every_file_that_is_there(fill, archive, tmp_path):
    store = tmp_path / "x.zarr"
    fill("2024-01-01", "2024-01-01")
    fill("2024-01-04", "2024-01-04")
    with without_dask() as client:
        report = hrrr_dask.add_points(str(store), places(1, 2), client=client)
        assert (report.files_read, report.outcome) == (8, "done"), "and not the days between"
        assert hrrr_dask.add_points(str(store), places(2), client=client).files_read == 0
    for day in (1, 4):
        assert_right(store, points=(0, 1, 2), names=NAMES[:1], days=(day,))
    rows = to_dataframe(str(store))
    assert sorted(zip(rows.first_point, rows.n_points, strict=True)) == [(0, 2)] * 8 + [(2, 3)] * 8
    assert fill("2024-01-01", "2024-01-01").files_read == 0, "the command of old goes on"


def test_new_variables_are_read_out_of_every_file_that_is_there(fill, tmp_path):
    store = tmp_path / "x.zarr"
    fill("2024-01-01", "2024-01-02")
    before = object_digests(store)
    with without_dask() as client:
        report = hrrr_dask.add_variables(str(store), NAMES, client=client)
    assert (report.files_read, report.outcome) == (8, "done")
    after = object_digests(store)
    assert {key: after[key] for key in before if key.startswith("temperature_2m/")} == {
        key: before[key] for key in before if key.startswith("temperature_2m/")
    }
    assert_right(store, points=(0, 1), names=NAMES, days=(1, 2))
    rows = to_dataframe(str(store))
    assert sorted(rows.variable) == sorted([NAMES[0]] * 8 + [NAMES[1]] * 8), "nothing was read twice"


@pytest.mark.parametrize("what", ["points", "variables"])
def test_a_store_grows_while_a_backfill_writes_to_it(fill, tmp_path, what):
    store = str(tmp_path / "x.zarr")
    fill("2024-01-01", "2024-01-01")
    seen = []

    def grow_once(_):
        if not seen:
            seen.append(xr.open_zarr(store, chunks=None))
            with without_dask() as client:
                if what == "points":
                    hrrr_dask.add_points(store, places(2), client=client)
                else:
                    hrrr_dask.add_variables(store, NAMES, client=client)

    assert fill("2024-01-01", "2024-01-03", reorder=grow_once).files_read == 8
    assert np.isfinite(seen[0].temperature_2m.isel(init_time=slice(-2, None))).all(), "who read before reads on"
    points, names = ((0, 1, 2), NAMES[:1]) if what == "points" else ((0, 1), NAMES)
    assert_right(store, points=points, names=names, days=(1,))
    with hrrr_dask.open_dataset(store) as found:
        assert set(found.status.values[2:].ravel()) == {12}, "the writer of old knew no more"
    assert fill("2024-01-01", "2024-01-03").files_read == 8
    assert_right(store, points=points, names=names, days=(1, 2, 3))


def add_p1(store, client):
    return hrrr_dask.add_points(store, places(1), client=client)


def add_gust(store, client):
    return hrrr_dask.add_variables(store, NAMES[1], client=client)


def read_more(store, client):
    return hrrr_dask.backfill(None, "2024-01-01", "2024-01-03", store, client=client)


@pytest.mark.parametrize("command", [add_p1, add_gust, read_more])
@pytest.mark.parametrize("what", ["points", "variables", "both"])
def test_a_report_is_about_its_own_request_if_the_store_grows_meanwhile(fill, tmp_path, monkeypatch, command, what):
    store = str(tmp_path / "x.zarr")
    fill(points=(0,))
    make_or_grow, others = Store.make_or_grow, []

    def grow_first(self, growth):
        if not others:
            others.append("comes")
            with without_dask() as client:
                if what != "variables":
                    others.append(hrrr_dask.add_points(store, places(2), client=client))
                if what != "points":
                    others.append(hrrr_dask.add_variables(store, "none=HGT:12 mb", client=client))
        return make_or_grow(self, growth)

    monkeypatch.setattr(Store, "make_or_grow", grow_first)
    with without_dask() as client:
        report = command(store, client)
    assert report.outcome == "done"
    assert report.files_read == (8 if command is read_more else 4)
    assert (report.gaps, report.gaps_by_variable, report.first_files_with_gaps) == ({}, {}, ())
    if what != "points":
        assert others[-1].gaps_by_variable == {"none": 4}, "the gaps are in the report of the command that added it"
    with without_dask() as client:
        again = command(store, client)
        assert command(store, client).files_read == 0
    assert again.first_files_with_gaps == () if what == "points" else again.gaps_by_variable.keys() == {"none"}


def verify_all(store, archive):
    return hrrr_dask.verify(store, every_file=True, source=[str(archive.root)])


def verify_sums(store, _):
    return hrrr_dask.verify_checksums(store)


AUDITS = {
    "verify": (verify_all, audit.verify, ["load_existing", "read_states", "open_dataset"]),
    "checksums": (verify_sums, audit.checksums, ["load_existing", "load_spec", "read_shard", "published_values"]),
    "assess": (
        lambda store, _: hrrr_dask.assess(store),
        audit.assess,
        ["load_existing", "read_states", "open_dataset"],
    ),
    "status": (lambda store, _: hrrr_dask.status(store, gaps=True), audit.status, ["load_existing", "read_states"]),
}


@pytest.mark.parametrize(("name", "after"), [(name, after) for name in AUDITS for after in AUDITS[name][2]])
def test_an_audit_finds_no_fault_with_a_store_that_grows_meanwhile(fill, archive, tmp_path, monkeypatch, name, after):
    store = str(tmp_path / "x.zarr")
    fill(points=(0, 1))
    act, module, _ = AUDITS[name]
    function, others = getattr(module, after), []

    def then_grow(*arguments, **options):
        found = function(*arguments, **options)
        if not others:
            others.append("come")
            with without_dask() as client:
                hrrr_dask.add_points(store, places(2), client=client)
                hrrr_dask.add_variables(store, [NAMES[1], "none=HGT:12 mb"], client=client)
                hrrr_dask.backfill(None, "2024-01-01", "2024-01-03", store, client=client)
        return found

    monkeypatch.setattr(module, after, then_grow)
    found = act(store, archive)
    assert others
    if name in ("verify", "checksums"):
        assert (found.outcome, found.counts) == ("equal", {})
    elif name == "assess":
        assert (found.files, found.n_points, found.missing) == (4, 2, 0)
    else:
        assert (found.files_complete, found.gap_list) == (4, ())


def added(what, store, *, other):
    """Add p2 or a gust, or with ``other`` something different under the same name."""
    with without_dask() as client:
        if what == "points":
            return hrrr_dask.add_points(store, places(0).assign(point_id="p2") if other else places(2), client=client)
        return hrrr_dask.add_variables(store, f"gust={'TMP' if other else 'GUST'}:surface", client=client)


@pytest.mark.parametrize("at", ["reads the store", "puts its step"])
@pytest.mark.parametrize("what", ["points", "variables"])
def test_of_two_that_add_another_thing_under_one_name_the_later_is_told(fill, tmp_path, monkeypatch, what, at):
    store = str(tmp_path / "x.zarr")
    fill()
    first = []

    def faster():
        if not first:
            first.append("came")
            first[0] = added(what, store, other=False), object_digests(store, ledger=True)

    def grow_late(self, growth):
        faster()
        return grow(self, growth)

    if at == "puts its step":
        race_write(monkeypatch, "put_new", faster, lambda key: key.startswith(GROWTH_PREFIX))
    else:
        grow = Store.grow
        monkeypatch.setattr(Store, "grow", grow_late)
    refusal = {"points": PointsError, "variables": ConfigError}[what]
    with pytest.raises(refusal) as told:
        added(what, store, other=True)
    ((report, after),) = first
    assert (report.files_read, report.outcome) == (4, "done")
    assert object_digests(store, ledger=True) == after, "the later one has written nothing"
    with pytest.raises(refusal) as told_again:
        added(what, store, other=True)
    assert str(told.value) == str(told_again.value), "as if it had come when all was over"
    assert added(what, store, other=False).files_read == 0
    with hrrr_dask.open_dataset(store) as found:
        assert bool(np.isfinite(found.temperature_2m if what == "points" else found.gust).all())


def test_what_cannot_be_added_is_refused_before_anything_is_written(fill, tmp_path):
    store = tmp_path / "x.zarr"
    with pytest.raises(StoreMismatchError, match="holds no store"):
        hrrr_dask.add_points(str(store), places(2))
    fill()
    before = object_digests(store, ledger=True)
    elsewhere = places(2).assign(point_id="p0")
    with pytest.raises(PointsError, match="p0: the store has that point_id at other coordinates"):
        hrrr_dask.add_points(str(store), elsewhere)
    with pytest.raises(PointsError, match="1 of 1 points are outside the grid"):
        hrrr_dask.add_points(str(store), places(2).assign(latitude=80.0))
    with pytest.raises(ConfigError, match="give TMP:surface another name"):
        hrrr_dask.add_variables(str(store), "temperature_2m=TMP:surface")
    assert object_digests(store, ledger=True) == before
