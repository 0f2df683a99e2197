"""What ``verify`` finds: nothing in a store that is right, and by name whatever is wrong with one."""

from __future__ import annotations

import errno
import functools
import http.server
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import eccodes
import numpy as np
import obstore
import pytest
import zarr
from click.testing import CliRunner
from rich.console import Console
from support import needs
from support.oracle import nearest_cells, read_fields, without_dask, write_points
from support.paths import SHARED_DATA

import hrrr_dask
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.audit import compare as comparing
from hrrr_dask.audit import verify as verifying
from hrrr_dask.audit.reference import Obstacle, decoding, open_object, place, read_values
from hrrr_dask.audit.reference.geometry import Sphere, cell_positions, find_nearest, unit_vectors
from hrrr_dask.audit.reference.message_keys import read_keys, same_window
from hrrr_dask.catalog.products import object_key
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.cli.commands import cli
from hrrr_dask.cli.verify_tables import live_count, verify_tables
from hrrr_dask.errors import (
    AccessDeniedError,
    ConfigError,
    NotPublishedError,
    PlanError,
    StoreAccessError,
    StoreError,
    StoreMismatchError,
    UnreachableError,
)
from hrrr_dask.grid.definition import find_bilinear_cells, find_nearest_cells, read_grid
from hrrr_dask.ledger.expected import draw_sample
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import MAX_LISTED, Difference, Healed, Unchecked, VerifyReport
from hrrr_dask.testing import GridWindow, delete, drop_message, truncate, write_archive

WINDOW = GridWindow(288, 794, 14, 18)
INITS = [datetime(2024, 1, 1), datetime(2024, 1, 1, 6)]
LEADS = [0, 1, 24]
WIND = ["u_component_wind_10m", "v_component_wind_10m"]
FEW = ["temperature_2m", *WIND]
EVERYTHING = [
    *FEW,
    "surface_roughness",
    "precipitation_1h",
    "rain=APCP:surface:run acc",
    "windmax=WIND:10 m above ground:1 hour max",
    "t500=TMP:500 mb",
    "u500=UGRD:500 mb",
    "skin=TMP:surface",
    "threat=var discipline=0 center=7 local_table=1 parmcat=16 parm=201:entire atmosphere",
]
FIRST = GribFile(INITS[0], 1)
N_POINTS = 6


def places_in(window):
    """All over a window, its corner cells and a point outside their centres included."""
    rng = np.random.default_rng(5)
    y = [0, window.ny - 1, *rng.uniform(0, window.ny - 1, N_POINTS - 2)]
    x = [0, window.nx - 1, *rng.uniform(0, window.nx - 1, N_POINTS - 2)]
    return np.column_stack(window.latlon(y, x))


def fill(archive, root, **settings):
    """Back-fill in this process; returns the store."""
    wanted = {"variables": FEW, "cycles": [0, 6], "lead_hours": LEADS, "axis_start": "2024-01-01"} | settings
    wanted.setdefault("source", [str(archive.root)])
    points = write_points(root / "points.csv", wanted.pop("places", places_in(archive.window)))
    with without_dask() as client:
        hrrr_dask.backfill(points, "2024-01-01", "2024-01-01", root / "x.zarr", client=client, **wanted)
    return root / "x.zarr"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_archive(
        tmp_path_factory.mktemp("few"), init_times=INITS, lead_hours=LEADS, variables=FEW, decoys=False, window=WINDOW
    )


@pytest.fixture(scope="module")
def whole(pristine, tmp_path_factory):
    return fill(pristine, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def archive(pristine, tmp_path):
    """To be broken."""
    shutil.copytree(pristine.root, tmp_path / "archive")
    return replace(pristine, root=tmp_path / "archive")


@pytest.fixture
def store(whole, tmp_path):
    """To be broken."""
    return shutil.copytree(whole, tmp_path / "copy.zarr")


def look(store, **options):
    return hrrr_dask.verify(store, **{"every_file": True, **options})


def put(store, name, value, file=FIRST, point=2):
    """Write a value into a store with zarr, past the package; returns what was there."""
    array = zarr.open_array(store / name, mode="r+")
    place = ({0: 0, 6: 1}[file.init_time.hour], LEADS.index(file.lead_hours), point)[: array.ndim]
    before = array[place]
    array[place] = value
    return before


def flip_a_bit(store, name):
    """Of the first chunk in a shard."""
    shard = next(path for path in (store / name / "c").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)


def only(report):
    """The one difference."""
    (difference,) = report.differences
    assert sum(report.counts.values()) == difference.values
    assert (report.outcome, report.exit_code) == ("different", 1)
    return difference


# Nothing differs


def test_every_kind_of_message_is_equal(tmp_path):
    archive = write_archive(tmp_path / "a", init_times=INITS[:1], lead_hours=[0, 1, 2, 24], window=WINDOW)
    store = fill(archive, tmp_path, variables=EVERYTHING, lead_hours=[0, 1, 2, 24], cycles=[0])
    report = look(store)
    assert (report.outcome, report.exit_code, report.counts) == ("equal", 0, {})
    assert report.values_compared == report.values_equal == (4 * len(EVERYTHING) - 2) * N_POINTS
    assert (report.files, report.files_in_store, report.unchecked, report.healed) == (4, 4, (), ())
    assert report.bytes_read == sum(archive.path(file).stat().st_size for file in archive.files)


def test_means_of_four_cells_are_equal_and_one_that_is_not_is_found(pristine, tmp_path):
    store = fill(pristine, tmp_path, method="bilinear", places=places_in(GridWindow(289, 795, 11, 15)))
    assert look(store).outcome == "equal"
    before = put(store, "temperature_2m", 0)
    put(store, "temperature_2m", before + 4 * np.spacing(before))
    assert only(look(store)).kind == "other-value"


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_alaska_is_equal_too(tmp_path, method):
    window = GridWindow(400, 600, 12, 14, "alaska")
    archive = write_archive(tmp_path / "a", init_times=INITS[:1], lead_hours=[1], variables=FEW, window=window)
    places = places_in(GridWindow(401, 601, 9, 11, "alaska"))
    store = fill(archive, tmp_path, domain="alaska", lead_hours=[1], cycles=[0], places=places, method=method)
    report = look(store)
    assert (report.outcome, report.values_compared) == ("equal", 3 * N_POINTS)


def test_the_full_hour_of_a_sub_hourly_file_is_equal(pristine, tmp_path):
    """NOAA's have four valid times, and count minutes."""

    def after(minutes, message):
        """The same message so many minutes after the run's start."""
        start = 16
        while message[start + 4] != 4:
            start += int.from_bytes(message[start : start + 4], "big")
        return message[: start + 17] + struct.pack(">BI", 0, minutes) + message[start + 22 :]

    about, root = replace(FIRST, product="subh"), tmp_path / "subh"
    fields = read_fields(pristine.path(FIRST))
    other = {field.numbers: field for field in read_fields(pristine.path(GribFile(INITS[1], 1)))}
    messages = [after(45, other[field.numbers].message) for field in fields]  # other values
    messages += [after(60, field.message) for field in fields]
    (root / object_key(about)).parent.mkdir(parents=True)
    (root / object_key(about)).write_bytes(b"".join(messages))
    store = fill(replace(pristine, root=root), tmp_path, product="subh", lead_hours=[1], cycles=[0])
    report = look(store)
    assert (report.outcome, report.values_compared) == ("equal", 3 * N_POINTS)


@needs.real_bytes
def test_all_of_a_real_day_is_equal(tmp_path):
    places = [(43.2157, -116.5539), (42.9893, -116.0937), (41.8816, -116.9295), (44.1282, -116.0711)]
    points, store = write_points(tmp_path / "points.csv", places), tmp_path / "day.zarr"
    request = {"source": str(SHARED_DATA / "archive"), "lead_hours": 1, "axis_start": "2018-07-22"}
    with without_dask() as client:
        hrrr_dask.backfill(points, "2018-07-22", "2018-07-22", store, client=client, **request)
    report = look(store)
    assert (report.outcome, report.files, report.healed_gaps) == ("equal", 24, 0)
    assert report.values_compared == 24 * 9 * len(places)
    assert report.gap_values == 24 * 2 * len(places), "the winds at 80 m"


def test_points_that_were_added_later_are_compared_with_what_they_came_from(pristine, archive, tmp_path):
    places = places_in(WINDOW)
    store = fill(pristine, tmp_path, places=places[:4])
    with without_dask() as client:
        hrrr_dask.add_points(
            store, write_points(tmp_path / "more.csv", places), client=client, source=[str(archive.root)]
        )
    report = look(store)
    assert (report.outcome, report.values_compared) == ("equal", 6 * 3 * N_POINTS)
    shutil.copy(archive.path(GribFile(INITS[1], 1)), archive.path(FIRST))
    report = look(store)
    assert report.counts == {"no-such-message": 3 * 2}, "the first four came from the other directory"


def test_points_that_were_added_and_not_found_are_a_gap(pristine, archive, tmp_path):
    places = places_in(WINDOW)
    store = fill(archive, tmp_path, places=places[:4])
    delete(archive, FIRST)
    with without_dask() as client:
        hrrr_dask.add_points(store, write_points(tmp_path / "more.csv", places), client=client)
    shutil.copy(pristine.path(FIRST), archive.path(FIRST))
    report = look(store)
    assert (report.outcome, report.gap_values, report.values_compared) == ("equal", 3 * 2, 6 * 3 * N_POINTS - 3 * 2)
    assert report.healed[0] == Healed(FIRST.label, FEW[0], "not-published")
    assert report.healed_gaps == 3


# The store differs


def test_another_value_is_named_with_what_the_archive_has(pristine, store):
    (row,) = np.array(places_in(WINDOW))[2:3]
    fields = {field.numbers: field for field in read_fields(pristine.path(FIRST))}
    field = fields[(0, 0, 0, 103, 2)]
    truth = np.float32(field.values[nearest_cells(field.latitude, field.longitude, [row])[0]])
    put(store, "temperature_2m", truth + np.spacing(truth))
    found = only(look(store))
    assert (found.kind, found.file, found.variable, found.point_id) == (
        "other-value",
        "20240101T00-f01",
        "temperature_2m",
        "p2",
    )
    assert (np.float32(found.store), np.float32(found.expected)) == (truth + np.spacing(truth), truth)


def test_wind_may_differ_by_its_last_places_and_no_more(store):
    before = put(store, WIND[0], 0)
    put(store, WIND[0], np.nextafter(before, np.float32(99)))
    assert look(store).outcome == "equal"
    put(store, WIND[0], before + np.float32(1e-4))
    assert (only(look(store)).kind, only(look(store)).variable) == ("other-value", WIND[0])


def test_a_bit_that_flipped_in_a_shard_is_named(store):
    flip_a_bit(store, "temperature_2m")
    report = look(store)
    assert report.outcome == "different"
    assert set(report.counts) == {"damaged-chunk"}
    assert {each.variable for each in report.differences} == {"temperature_2m"}
    assert report.values_compared == 6 * 2 * N_POINTS, "the wind is compared all the same"


def test_a_damaged_chunk_hides_no_other_chunk(pristine, tmp_path):
    store = fill(pristine, tmp_path, chunk_points=2, shard_points=6)
    flip_a_bit(store, "temperature_2m")
    report = look(store)
    assert {each.point_id for each in report.differences} == {"p0 to p1"}
    assert report.values_compared == 6 * 3 * N_POINTS - 6 * 2


def test_a_value_that_is_missing_is_named(store):
    before = put(store, "temperature_2m", np.nan)
    found = only(look(store))
    assert (found.kind, found.point_id, found.store, np.float32(found.expected)) == (
        "value-is-missing",
        "p2",
        None,
        before,
    )


def test_a_value_in_place_of_a_gap_is_named(archive, tmp_path):
    drop_message(archive, FIRST, "temperature_2m")
    store = fill(archive, tmp_path)
    report = look(store)
    assert (report.outcome, report.gap_values, report.healed) == ("equal", N_POINTS, ())
    put(store, "temperature_2m", 271.5)
    found = only(look(store))
    assert (found.kind, found.point_id, found.store, found.note) == (
        "value-in-a-gap",
        "p2",
        271.5,
        "message-not-found",
    )


def test_a_status_that_the_ledger_does_not_give_is_named(store):
    put(store, "status", 8)
    found = only(look(store))
    assert (found.kind, found.file, found.store, found.expected) == (
        "other-status",
        FIRST.label,
        "not-published",
        "complete",
    )


def test_what_a_bitmap_leaves_out_is_missing_and_a_value_there_comes_from_nowhere(archive, tmp_path):
    places = places_in(WINDOW)
    path = archive.path(FIRST)
    field = next(field for field in read_fields(path) if field.numbers == (0, 0, 0, 103, 2))
    cell = nearest_cells(field.latitude, field.longitude, places[2:3])[0]
    handle = eccodes.codes_new_from_message(field.message)
    values = field.values.copy()
    values[cell] = 9999
    eccodes.codes_set(handle, "bitmapPresent", 1)
    eccodes.codes_set_values(handle, values)
    holed = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    path.write_bytes(path.read_bytes().replace(field.message, holed))
    archive.inventory_path(FIRST).unlink()
    store = fill(archive, tmp_path)
    assert np.isnan(zarr.open_array(store / "temperature_2m")[0, 1, 2])
    assert look(store).outcome == "equal"
    put(store, "temperature_2m", 280)
    found = only(look(store))
    assert (found.kind, found.point_id, found.store, found.expected) == ("value-from-nowhere", "p2", 280.0, None)


def test_packings_that_hrrr_never_has_are_unpacked_in_another_process(archive, tmp_path, monkeypatch):
    path = archive.path(FIRST)
    field = next(field for field in read_fields(path) if field.numbers == (0, 0, 0, 103, 2))
    handle = eccodes.codes_new_from_message(field.message)
    eccodes.codes_set(handle, "packingType", "grid_ieee")
    eccodes.codes_set(handle, "precision", 1)
    eccodes.codes_set_values(handle, field.values)
    path.write_bytes(path.read_bytes().replace(field.message, eccodes.codes_get_message(handle)))
    eccodes.codes_release(handle)
    archive.inventory_path(FIRST).unlink()
    store = fill(archive, tmp_path, engine="eccodes", lead_hours=[1], cycles=[0])
    assert look(store).outcome == "equal"
    assert np.isfinite(zarr.open_array(store / "temperature_2m")[0, 0]).all()
    monkeypatch.setattr(decoding, "_CODE", "import os; os.abort()")
    (left,) = look(store).unchecked
    assert (left.variables, left.reason) == (("temperature_2m",), "decode-failed")
    assert "exits with code -6 over the message" in left.note


# The archive differs


def test_a_bit_that_flipped_in_a_message_is_named(archive, store):
    # 10 m wind is packed simply, 10 bits a value: a bit of one cell changes that cell, and both components there.
    fields = {field.numbers: field for field in read_fields(archive.path(FIRST))}
    u = fields[(0, 2, 2, 103, 10)]
    cell = int(nearest_cells(u.latitude, u.longitude, places_in(WINDOW)[3:4])[0])
    content = bytearray(archive.path(FIRST).read_bytes())
    data = content.index(u.message) + len(u.message) - 4 - -(-10 * WINDOW.ny * WINDOW.nx // 8)
    content[data + 10 * cell // 8] ^= 1 << (7 - 10 * cell % 8)
    archive.path(FIRST).write_bytes(content)
    report = look(store, source=str(archive.root))
    assert {(each.kind, each.file, each.variable, each.point_id) for each in report.differences} == {
        ("other-value", FIRST.label, name, "p3") for name in WIND
    }
    assert (report.values_differing, report.values_compared) == (2, 6 * 3 * N_POINTS)


def test_a_wrong_run_under_a_name_is_told_by_its_messages(archive, store):
    shutil.copy(archive.path(GribFile(INITS[1], 1)), archive.path(FIRST))
    report = look(store, source=str(archive.root))
    assert report.counts == {"no-such-message": 3 * N_POINTS}
    assert [(each.variable, each.values) for each in report.differences] == [(name, N_POINTS) for name in FEW]
    assert {each.note for each in report.differences} == {"the message is of the run 2024-01-01T06, 60 min"}
    assert report.values_differing == 3 * N_POINTS


def test_a_wrong_lead_time_and_another_grid_are_told_too(archive, store, tmp_path):
    shutil.copy(archive.path(GribFile(INITS[0], 24)), archive.path(FIRST))
    (note,) = {each.note for each in look(store, source=str(archive.root)).differences[:1]}
    assert note == "the file has no message of TMP:2 m above ground:instant, but of the run 2024-01-01T00, 1440 min"
    other = GridWindow(289, 794, 14, 18)
    moved = write_archive(tmp_path / "b", init_times=INITS, lead_hours=LEADS, variables=FEW, window=other)
    report = look(store, source=str(moved.root))
    assert {each.note for each in report.differences} == {"its grid is another one than the store's"}


def test_wind_that_says_it_is_turned_already_is_told(archive, store):
    content = bytearray(archive.path(FIRST).read_bytes())
    first = next(field for field in read_fields(archive.path(FIRST)) if field.numbers == (0, 2, 2, 103, 10))
    start = content.index(first.message)
    content[start + first.message.index(_section3(first.message)) + 46] ^= 8  # resolution and component flags
    archive.path(FIRST).write_bytes(content)
    report = look(store, source=str(archive.root))
    assert [each.note for each in report.differences] == [
        "its components lie to the east and north already",
        "VGRD:10 m above ground:instant cannot be turned: its components lie to the east and north already",
    ]


def test_a_damaged_message_hides_none_that_comes_after_it(archive, store):
    content = bytearray(archive.path(FIRST).read_bytes())
    content[16 + 14] = 99  # the month, in the first message
    archive.path(FIRST).write_bytes(content)
    report = look(store, source=str(archive.root))
    (left,) = report.unchecked
    assert (left.variables, left.reason) == (("temperature_2m",), "decode-failed")
    assert left.note == "message 1 of the file is damaged: month must be in 1..12"
    assert report.values_compared == report.values_equal == 6 * 3 * N_POINTS - N_POINTS


def test_a_grid_some_metres_off_is_the_same_as_in_files_of_the_first_versions(archive, store):
    content = bytearray(archive.path(FIRST).read_bytes())
    for field in read_fields(archive.path(FIRST)):
        latitude = content.index(field.message) + field.message.index(_section3(field.message)) + 38
        (there,) = struct.unpack_from(">I", content, latitude)
        struct.pack_into(">I", content, latitude, there + 476)  # millionths of a degree: 53 m
    archive.path(FIRST).write_bytes(content)
    assert look(store, source=str(archive.root)).outcome == "equal"


def test_a_file_that_is_not_there_any_longer_is_not_checked(archive, store):
    delete(archive, FIRST)
    report = look(store, source=str(archive.root))
    assert (report.outcome, report.exit_code, report.counts) == ("not-checked", 3, {})
    (left,) = report.unchecked
    assert (left.file, left.variables, left.reason, left.values) == (
        FIRST.label,
        tuple(FEW),
        "not-published",
        3 * N_POINTS,
    )
    assert report.unchecked_values == 3 * N_POINTS
    put(store, "temperature_2m", 1, file=GribFile(INITS[1], 1))
    assert look(store, source=str(archive.root)).exit_code == 1


def test_what_lies_beyond_the_end_of_a_truncated_file_is_not_checked(archive, store):
    truncate(archive, FIRST, archive.path(FIRST).stat().st_size - 100)
    report = look(store, source=str(archive.root))
    assert report.outcome == "not-checked"
    assert {each.reason for each in report.unchecked} == {"truncated"}
    assert WIND[1] in {name for each in report.unchecked for name in each.variables}
    assert report.values_compared > 5 * 3 * N_POINTS, "the messages before the end are compared"


def test_gaps_that_the_archive_has_now_are_named_and_no_difference(pristine, archive, tmp_path):
    drop_message(archive, FIRST, "temperature_2m")
    store = fill(archive, tmp_path)
    shutil.copy(pristine.path(FIRST), archive.path(FIRST))
    report = look(store)
    assert (report.outcome, report.healed_gaps) == ("equal", 1)
    assert report.healed == (Healed(FIRST.label, "temperature_2m", "message-not-found"),)


# Where the archive is


def test_each_value_is_compared_with_the_object_that_it_came_from(pristine, archive, tmp_path):
    drop_message(archive, FIRST, "temperature_2m")
    store = fill(archive, tmp_path, source=[str(archive.root), str(pristine.root)])
    assert look(store).outcome == "equal", "temperature came from the second source, wind from the first"
    for path in (pristine.path(FIRST), archive.path(FIRST)):
        assert path.exists()
    shutil.copy(archive.path(GribFile(INITS[1], 1)), archive.path(FIRST))
    report = look(store)
    assert {each.variable for each in report.differences} == set(WIND)


def test_a_directory_that_the_ledger_names_is_read_though_it_is_no_source(pristine, archive, tmp_path):
    store = fill(archive, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    root = json.loads((store / "zarr.json").read_bytes())
    root["attributes"]["hrrr_dask"]["source"] = [str(empty)]
    (store / "zarr.json").write_text(json.dumps(root))
    assert look(store).outcome == "equal"
    assert look(store, source=str(empty)).outcome == "not-checked", "only the sources given count"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server that says nothing on stderr, and for /big sends so many bytes."""

    big_bytes = 120_000_000

    def log_message(self, *args):
        pass

    def do_GET(self):
        if self.path.endswith("/secret"):
            self.send_error(403)
            return
        if not self.path.endswith(("/big", "/short")):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.big_bytes))
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        for _ in range(self.big_bytes // 1_000_000 if self.path.endswith("/big") else 1):
            self.wfile.write(bytes(1_000_000))


@pytest.fixture
def web(pristine):
    """URL of a web server that has the pristine archive."""
    handler = functools.partial(Quiet, directory=str(pristine.root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_whole_objects_come_over_the_web(web, store, pristine):
    report = look(store, source=web)
    assert (report.outcome, report.values_compared) == ("equal", 6 * 3 * N_POINTS)


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        ("no/such.grib2", NotPublishedError, r"/no/such\.grib2 is not there"),
        ("secret", AccessDeniedError, "refuses to give secret: check the credentials"),
        ("short", UnreachableError, "/short broke off 3 times"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(web, monkeypatch, key, error, text):
    monkeypatch.setattr(Quiet, "big_bytes", 2_000_000)
    with pytest.raises(error, match=text), open_object(parse_source(web), key):
        pass


def test_fewer_bytes_than_were_promised_are_no_object(web, monkeypatch):
    monkeypatch.setattr(obstore, "get", lambda *_: SimpleNamespace(stream=lambda **_: [b"GRIB"] * 2, meta={"size": 9}))
    with pytest.raises(UnreachableError, match="/x broke off 3 times: 8 bytes of 9 came"):
        open_object(parse_source(web), "x").__enter__()


def test_a_full_disk_is_told_with_the_remedy(web, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    monkeypatch.setattr(Quiet, "big_bytes", 2_000_000)
    with pytest.raises(StoreAccessError, match="No space left on device; let TMPDIR"):
        open_object(parse_source(web), "big").__enter__()


def test_an_object_is_streamed_through_little_memory_and_leaves_no_file(web, tmp_path):
    code = (
        "import json, os, resource, sys\n"
        "from hrrr_dask.audit.reference import open_object\n"
        "from hrrr_dask.archive.sources import parse_source\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "source, before = parse_source(sys.argv[1]), peak()\n"
        "with open_object(source, 'big') as (file, size):\n"
        "    last = file.seek(-1, 2)\n"
        "print(json.dumps([size, last, peak() - before, os.listdir(os.environ['TMPDIR'])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, web], env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    size, last, grown, left = json.loads(done.stdout)
    assert (size, last, left) == (Quiet.big_bytes, Quiet.big_bytes - 1, [])
    assert grown < 50_000_000


def test_an_archive_that_gives_no_answer_is_an_error(store):
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9/hrrr\.20240101.* cannot be read"):
        look(store, source="http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        look(store, source="http://127.0.0.1:9", every_file=False, sample=1)


def test_an_archive_that_falls_silent_is_left_alone_after_a_while(whole, monkeypatch):
    asked = []

    def falling_silent(source, key):
        asked.append(key)
        if len(asked) > 1:
            raise UnreachableError("no answer")
        return open_object(source, key)

    monkeypatch.setattr(comparing, "open_object", falling_silent)
    report = look(whole)
    assert len(asked) == 1 + verifying.MAX_SILENT_FILES
    assert (report.outcome, report.values_compared, len(report.unchecked)) == ("not-checked", 3 * N_POINTS, 5)
    assert report.unchecked_values == 5 * 3 * N_POINTS
    assert report.unchecked[-1].note.startswith("not asked for, after 3 files in a row without an answer: no answer")


# Which files


def test_a_sample_is_drawn_evenly_and_again_with_its_seed(whole):
    first, again = (look(whole, every_file=False, sample=3, seed=8) for _ in range(2))
    assert (first.files, first.files_in_store, first.seed, first.values_compared) == (3, 6, 8, 3 * 3 * N_POINTS)
    assert first.bytes_read == again.bytes_read
    assert look(whole, every_file=False, sample=3).seed is not None
    assert look(whole, every_file=False).seed is None, "all six files are looked at, and nothing is drawn"
    for seed in range(20):
        drawn = draw_sample(100, 10, seed)
        assert (drawn // 10).tolist() == list(range(10))
    assert draw_sample(100, 10, 1).tolist() == draw_sample(100, 10, 1).tolist() != draw_sample(100, 10, 2).tolist()


def test_a_period_is_verified_alone(whole):
    report = look(whole, start="2024-01-01T06", end="2024-01-01T06")
    assert (report.files, report.files_in_store) == (3, 3)
    assert look(whole, end="2024-01-01T00").files == 3
    with pytest.raises(PlanError, match="has runs from 2024-01-01T00 to 2024-01-01T06, none of them"):
        look(whole, start="2024-02-01")


def test_what_cannot_be_verified_is_refused(whole, tmp_path, pristine):
    with pytest.raises(ConfigError, match="a sample of 0 files verifies nothing"):
        look(whole, sample=0)
    with pytest.raises(StoreMismatchError, match="holds no store"):
        look(tmp_path / "none.zarr")
    shutil.rmtree(shutil.copytree(whole, tmp_path / "bare.zarr") / ".hrrr" / "ledger")
    with pytest.raises(PlanError, match="nothing to verify"):
        look(tmp_path / "bare.zarr")


# The route itself


STAGES = {
    *("archive.failover", "archive.index_scan", "archive.inventory", "archive.messages", "archive.prefixes"),
    *("archive.fetch", "archive.responses", "decode", "grib.identity", "grib.packing", "grib.sections"),
    *("grid.definition", "grid.interpolation", "grid.projection", "job.extract", "job.pipeline", "read.gather"),
}
ROUTE = ("audit/compare.py", "audit/verify.py", "report/differences.py", "ledger/expected.py")


def test_the_route_loads_no_stage_of_the_pipeline():
    code = "import json, sys, hrrr_dask.audit.reference; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("hrrr_dask.") for name in json.loads(done.stdout) if name.startswith("hrrr_dask.")}
    assert "audit.reference.values" in loaded
    assert not loaded & STAGES
    root = Path(hrrr_dask.__file__).parent
    for stage in STAGES:
        path = root / stage.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), f"{stage} was renamed"
    for name in ROUTE:
        assert not [stage for stage in STAGES if f"hrrr_dask.{stage} " in (root / name).read_text()]


def test_the_nearest_cell_is_that_of_all_cells_tried():
    rng = np.random.default_rng(0)
    anywhere = Sphere(np.arcsin(rng.uniform(-1, 1, (101, 97))), rng.uniform(-np.pi, np.pi, (101, 97)))  # in no order
    for sphere in (anywhere, cell_positions(WINDOW.section3())):
        xyz = unit_vectors(sphere.latitude, sphere.longitude)
        points = xyz.reshape(-1, 3)[rng.integers(0, xyz.size // 3, 50)] + rng.normal(scale=1e-4, size=(50, 3))
        points /= np.linalg.norm(points, axis=-1, keepdims=True)
        tried = [int((xyz.reshape(-1, 3) @ point).argmax()) for point in points]
        assert find_nearest(sphere, points).tolist() == tried


@pytest.mark.parametrize("domain", ["conus", "alaska"])
def test_cells_weights_and_directions_are_those_of_the_map(domain):
    window = GridWindow(700, 1000, 60, 55, domain)
    latitude, longitude = places_in(GridWindow(701, 1001, 57, 52, domain)).T
    grid = read_grid(window.section3())
    one, four = (place(window.section3(), latitude, longitude, method) for method in ("nearest", "bilinear"))
    assert np.array_equal(one.index, find_nearest_cells(grid, latitude, longitude).index)
    assert np.array_equal(four.index, find_bilinear_cells(grid, latitude, longitude).index)
    np.testing.assert_allclose(four.weight, find_bilinear_cells(grid, latitude, longitude).weight, rtol=0, atol=1e-9)
    _, cell_longitude = grid.latlon(*np.divmod(one.index, grid.nx))
    angle = grid.wind_angle(cell_longitude)
    rows = np.stack([np.cos(angle), -np.sin(angle)], axis=-1)
    columns = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    np.testing.assert_allclose(one.axes, np.stack([rows, columns], axis=-2), rtol=0, atol=1e-10)


def test_a_damaged_grid_is_an_error_of_the_store():
    section = bytearray(WINDOW.section3())
    section[13] = 99
    with pytest.raises(StoreError, match="cannot tell where the cells of the store's grid are"):
        cell_positions(bytes(section))


@needs.real_bytes
def test_real_messages_are_told_apart_by_their_windows():
    path = SHARED_DATA / "messages" / "hrrr.20201214.t00z.wrfsfcf12.APCP-two-windows.grib2"
    places = np.array([(40.0, -100.0), (47.6, -122.3), (25.8, -80.2)])
    run, hour = Selector.parse("APCP:surface:run acc"), Selector.parse("APCP:surface:1 hour acc")
    either, other = Selector.parse("APCP:surface"), Selector.parse("WEASD:surface:run acc")
    fields = {field.step: field for field in read_fields(path)}
    section = _section3(fields["0-12"].message)
    with path.open("rb") as file:
        found = read_values(
            file, GribFile(datetime(2020, 12, 14), 12), [run, hour, either, other], place(section, *places.T, "nearest")
        )
    cells = nearest_cells(fields["0-12"].latitude, fields["0-12"].longitude, places)
    assert found[run].values.tolist() == fields["0-12"].values[cells].astype(np.float32).tolist()
    assert found[hour].values.tolist() == fields["11-12"].values[cells].astype(np.float32).tolist()
    assert found[either] == Obstacle("ambiguous-message", "the file has 2 messages of APCP:surface")
    assert found[other] == Obstacle("message-not-found", "the file has no message of WEASD:surface:run acc")


def _section3(message):
    start = 16
    while message[start + 4] != 3:
        start += int.from_bytes(message[start : start + 4], "big")
    return message[start : start + int.from_bytes(message[start : start + 4], "big")]


@needs.real_bytes
def test_windows_of_minutes_are_read():
    path, keys = SHARED_DATA / "messages" / "hrrr.20221014.t01z.wrfsubhf.REFC-VBDSF.grib2", []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys.append(read_keys(handle))
            eccodes.codes_release(handle)
    assert [(each.element, each.level, each.window) for each in keys] == [
        ("REFC", "entire atmosphere", ("instant", 15, 15)),
        ("VBDSF", "surface", ("ave", 0, 15)),
    ]
    hour = replace(keys[1], window=("ave", 45, 60))
    assert same_window(hour, Selector.parse("VBDSF:surface:15 min ave"), 1)
    assert not same_window(keys[1], Selector.parse("VBDSF:surface:15 min ave"), 1)
    assert not same_window(hour, Selector.parse("VBDSF:surface:1 hour ave"), 1)


# What people and programs see

REPORT = VerifyReport(
    store="x.zarr",
    files=20,
    files_in_store=1200,
    seed=7,
    values_compared=1100,
    values_equal=1090,
    gap_values=40,
    counts={"other-value": 1, "no-such-message": 9, "value-in-a-gap": 1},
    differences=(
        Difference("other-value", "20240101T00-f01", "temperature_2m", "kboi", 301.25, 301.23),
        *(
            Difference("no-such-message", "20240101T06-f01", name, "", None, None, 3, "the message is of another run")
            for name in FEW
        ),
        Difference("value-in-a-gap", "20240101T06-f02", "temperature_2m", "kboi", 280.0, None, 1, "truncated"),
    ),
    unchecked_values=6,
    unchecked=(Unchecked("20240101T12-f01", ("temperature_2m",), "not-published", "a/b.grib2 is not there", 6),),
    healed_gaps=1,
    healed=(Healed("20240101T18-f01", "temperature_2m", "not-published"),),
    bytes_read=3_000_000_000,
    seconds=12.0,
)


def shown(report):
    console = Console(width=160)
    with console.capture() as captured:
        for table in verify_tables(report):
            console.print(table)
    return "\n".join(" ".join(line.split()) for line in captured.get().splitlines())


def test_a_report_is_shown_difference_by_difference():
    text = shown(REPORT)
    for line in (
        "files 20 of 1,200, drawn with --seed 7; 3,000.0 MB read",
        "values 1,100 compared with the archive: 1,090 equal, 10 different",
        "gaps 40 values missing, as in the ledger, except 1",
        "not checked 6 values",
        "differs 9 values no-such-message: the archive's file has no such message",
        "20240101T06-f01 3 variables 3 values - - no-such-message: the message is of another run",
        "20240101T00-f01 temperature_2m kboi 301.25 301.23 other-value",
        "20240101T06-f02 temperature_2m kboi 280.0 - value-in-a-gap: truncated",
        "20240101T12-f01 temperature_2m not-published a/b.grib2 is not there",
        "20240101T18-f01 temperature_2m not-published",
    ):
        assert line in text
    assert text.count("20240101T06-f01") == 1, "one cause is one row"
    many = replace(REPORT, differences=REPORT.differences[:1] * MAX_LISTED, counts={"other-value": 2000})
    assert "differences (the first 100, 2,000 in all)" in shown(many)
    good = replace(REPORT, counts={}, differences=(), unchecked=(), unchecked_values=0, healed=(), healed_gaps=0)
    assert shown(good).startswith("equal")
    assert "difference" not in shown(good)


def test_only_the_first_differences_are_listed_and_all_are_counted(store, archive):
    for name in FEW:
        array = zarr.open_array(store / name, mode="r+")
        array[...] = array[...] + 1
    report = look(store)
    assert report.counts == {"other-value": 6 * 3 * N_POINTS}
    assert len(report.differences) == MAX_LISTED < 6 * 3 * N_POINTS


def test_the_command_line_passes_what_was_given_and_ends_with_the_outcome(monkeypatch):
    calls = []

    def verify(**given):
        calls.append(given)
        given["show"](1, 2)
        return REPORT

    monkeypatch.setattr(verifying, "verify", verify)
    flags = ["--sample", "5", "--start", "2024-01-01", "--end", "2024-01-02", "--seed", "3", "--source", "a"]
    options = ["--source", "google", "--source-option", "region=x", "--store-option", "endpoint=http://h:1"]
    done = CliRunner().invoke(cli, ["verify", "--store", "s", *flags, *options, "--json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["outcome"], answer["differences"][0]["point_id"]) == ("different", "kboi")
    (given,) = calls
    del given["show"]
    assert given == {
        "store": "s",
        "sample": 5,
        "every_file": False,
        "start": "2024-01-01",
        "end": "2024-01-02",
        "seed": 3,
        "source": ["a", "google"],
        "source_options": {"region": "x"},
        "store_options": {"endpoint": "http://h:1"},
    }
    both = CliRunner().invoke(cli, ["verify", "--store", "s", "--sample", "5", "--all"])
    assert both.exit_code == 2
    assert "give one of them" in both.stderr


def test_the_command_line_verifies_a_store_end_to_end(store):
    done = CliRunner().invoke(cli, ["verify", "--store", str(store), "--all"])
    assert done.exit_code == 0, done.output
    assert "108 compared with the archive: 108 equal, 0 different" in " ".join(done.stdout.split())
    put(store, "temperature_2m", np.nan)
    done = CliRunner().invoke(cli, ["verify", "--store", str(store), "--all", "--json"])
    assert done.exit_code == 1
    (difference,) = json.loads(done.stdout)["differences"]
    assert (difference["kind"], difference["store"]) == ("value-is-missing", None)


def test_the_bar_is_not_there_before_the_first_file_and_gone_after_the_last():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80)
    with live_count(console):
        pass
    assert written.getvalue() == ""
    with live_count(console) as show:
        show(1, 2)
    assert "1/2" in written.getvalue()
    assert written.getvalue().endswith("\x1b[2K"), "the line is wiped"
