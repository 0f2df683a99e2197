"""`verify` finds no difference in a correct store, and reports every difference of a damaged one."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from datetime import datetime

import eccodes
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from rich.console import Console
from support import needs
from support.oracle import NUMBERS, nearest_cells, read_fields, without_dask, write_points
from support.packed import section_starts
from support.paths import SHARED_DATA

import hrrr_dask
from hrrr_dask.audit import verify as verifying
from hrrr_dask.audit.reference import decoding, downloads, open_object
from hrrr_dask.catalog.products import object_key
from hrrr_dask.cli.commands import cli
from hrrr_dask.cli.tables import print_tables
from hrrr_dask.errors import ConfigError, PlanError, StoreMismatchError, UnreachableError
from hrrr_dask.ledger.expected import draw_sample
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import MAX_LISTED, Difference, Healed, Unchecked, VerifyReport
from hrrr_dask.store.settings_attribute import SETTINGS, encode_settings, settings_in
from hrrr_dask.testing import FaultServer, GridWindow, delete, drop_message, truncate, write_archive

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


def points_in(window):
    """Return random points in a window, and its corner cells."""
    rng = np.random.default_rng(5)
    y = [0, window.ny - 1, *rng.uniform(0, window.ny - 1, N_POINTS - 2)]
    x = [0, window.nx - 1, *rng.uniform(0, window.nx - 1, N_POINTS - 2)]
    return np.column_stack(window.latlon(y, x))


def fill(archive, root, **settings):
    """Backfill a store in this process."""
    wanted = {"variables": FEW, "cycles": [0, 6], "lead_hours": LEADS, "axis_start": "2024-01-01"} | settings
    wanted.setdefault("source", [str(archive.root)])
    points = write_points(root / "points.csv", wanted.pop("points", points_in(archive.window)))
    with without_dask() as client:
        hrrr_dask.backfill(points, "2024-01-01", "2024-01-01", root / "x.zarr", client=client, **wanted)
    return root / "x.zarr"


@pytest.fixture(scope="module")
def pristine_archive(tmp_path_factory):
    return write_archive(
        tmp_path_factory.mktemp("few"), init_times=INITS, lead_hours=LEADS, variables=FEW, decoys=False, window=WINDOW
    )


@pytest.fixture(scope="module")
def pristine_store(pristine_archive, tmp_path_factory):
    return fill(pristine_archive, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def archive(pristine_archive, tmp_path):
    """Copy of the archive, to be damaged."""
    shutil.copytree(pristine_archive.root, tmp_path / "archive")
    return replace(pristine_archive, root=tmp_path / "archive")


@pytest.fixture
def store(pristine_store, tmp_path):
    """Copy of the store, to be damaged."""
    return shutil.copytree(pristine_store, tmp_path / "copy.zarr")


def verify(store, **options):
    return hrrr_dask.verify(store, **{"every_file": True, **options})


def set_value(store, name, value, file=FIRST, point=2):
    """Write a value with zarr, without the package; returns the previous value."""
    array = zarr.open_array(store / name, mode="r+")
    index = ({0: 0, 6: 1}[file.init_time.hour], LEADS.index(file.lead_hours), point)[: array.ndim]
    before = array[index]
    array[index] = value
    return before


def flip_a_bit(store, name):
    """Flip a bit of the first chunk in a shard."""
    shard = next(path for path in (store / name / "c").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)


def single_difference(report):
    """Return the only difference of a report."""
    (difference,) = report.differences
    assert sum(report.counts.values()) == difference.values
    assert (report.outcome, report.exit_code) == ("different", 1)
    return difference


def read_field(path, name):
    return next(field for field in read_fields(path) if field.numbers == NUMBERS[name])


def reencode_temperature(archive, values, **keys):
    """Encode the temperature message of the first file again, with other ecCodes keys."""
    path = archive.path(FIRST)
    message = read_field(path, "temperature_2m").message
    handle = eccodes.codes_new_from_message(message)
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, values)
    path.write_bytes(path.read_bytes().replace(message, eccodes.codes_get_message(handle)))
    eccodes.codes_release(handle)
    archive.inventory_path(FIRST).unlink()


# No differences


def test_every_kind_of_message_is_equal(tmp_path):
    archive = write_archive(tmp_path / "a", init_times=INITS[:1], lead_hours=[0, 1, 2, 24], window=WINDOW)
    store = fill(archive, tmp_path, variables=EVERYTHING, lead_hours=[0, 1, 2, 24], cycles=[0])
    seen: list[tuple[int, int]] = []
    report = verify(store, progress=lambda *counts: seen.append(counts))
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
    assert len(seen) == report.files
    assert (report.outcome, report.exit_code, report.counts) == ("equal", 0, {})
    assert report.values_compared == report.values_equal == (4 * len(EVERYTHING) - 2) * N_POINTS
    assert (report.files, report.files_in_store, report.unchecked, report.healed) == (4, 4, (), ())
    assert report.bytes_read == sum(archive.path(file).stat().st_size for file in archive.files)


def test_bilinear_values_are_equal_and_a_changed_one_is_reported(pristine_archive, tmp_path):
    store = fill(pristine_archive, tmp_path, method="bilinear", points=points_in(GridWindow(289, 795, 11, 15)))
    assert verify(store).outcome == "equal"
    before = set_value(store, "temperature_2m", 0)
    set_value(store, "temperature_2m", before + 4 * np.spacing(before))
    assert single_difference(verify(store)).kind == "other-value"


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_the_alaska_domain_is_equal(tmp_path, method):
    window = GridWindow(400, 600, 12, 14, "alaska")
    archive = write_archive(tmp_path / "a", init_times=INITS[:1], lead_hours=[1], variables=FEW, window=window)
    points = points_in(GridWindow(401, 601, 9, 11, "alaska"))
    store = fill(archive, tmp_path, domain="alaska", lead_hours=[1], cycles=[0], points=points, method=method)
    report = verify(store)
    assert (report.outcome, report.values_compared) == ("equal", 3 * N_POINTS)


def test_the_full_hour_of_a_sub_hourly_file_is_equal(pristine_archive, tmp_path):
    """NOAA's sub-hourly files have four valid times, in minutes."""

    def at_minutes(minutes, message):
        start = section_starts(message)[4]
        return message[: start + 17] + struct.pack(">BI", 0, minutes) + message[start + 22 :]

    file, root = replace(FIRST, product="subh"), tmp_path / "subh"
    fields = read_fields(pristine_archive.path(FIRST))
    other = {field.numbers: field for field in read_fields(pristine_archive.path(GribFile(INITS[1], 1)))}
    messages = [at_minutes(45, other[field.numbers].message) for field in fields]  # other values
    messages += [at_minutes(60, field.message) for field in fields]
    (root / object_key(file)).parent.mkdir(parents=True)
    (root / object_key(file)).write_bytes(b"".join(messages))
    store = fill(replace(pristine_archive, root=root), tmp_path, product="subh", lead_hours=[1], cycles=[0])
    report = verify(store)
    assert (report.outcome, report.values_compared) == ("equal", 3 * N_POINTS)


@needs.real_bytes
def test_a_real_day_is_equal(tmp_path):
    coordinates = [(43.2157, -116.5539), (42.9893, -116.0937), (41.8816, -116.9295), (44.1282, -116.0711)]
    points, store = write_points(tmp_path / "points.csv", coordinates), tmp_path / "day.zarr"
    request = {"source": str(SHARED_DATA / "archive"), "lead_hours": 1, "axis_start": "2018-07-22"}
    with without_dask() as client:
        hrrr_dask.backfill(points, "2018-07-22", "2018-07-22", store, client=client, **request)
    report = verify(store)
    assert (report.outcome, report.files, report.healed_gaps) == ("equal", 24, 0)
    assert report.values_compared == 24 * 9 * len(coordinates)
    assert report.gap_values == 24 * 2 * len(coordinates), "the wind at 80 m"


def test_added_points_are_compared_with_their_own_source(pristine_archive, archive, tmp_path):
    points = points_in(WINDOW)
    store = fill(pristine_archive, tmp_path, points=points[:4])
    with without_dask() as client:
        hrrr_dask.add_points(
            store, write_points(tmp_path / "more.csv", points), client=client, source=[str(archive.root)]
        )
    report = verify(store)
    assert (report.outcome, report.values_compared) == ("equal", 6 * 3 * N_POINTS)
    shutil.copy(archive.path(GribFile(INITS[1], 1)), archive.path(FIRST))
    report = verify(store)
    assert report.counts == {"no-such-message": 3 * 2}, "the first four points came from the other directory"


def test_added_points_without_a_file_are_gaps(pristine_archive, archive, tmp_path):
    points = points_in(WINDOW)
    store = fill(archive, tmp_path, points=points[:4])
    delete(archive, FIRST)
    with without_dask() as client:
        hrrr_dask.add_points(store, write_points(tmp_path / "more.csv", points), client=client)
    shutil.copy(pristine_archive.path(FIRST), archive.path(FIRST))
    report = verify(store)
    assert (report.outcome, report.gap_values, report.values_compared) == ("equal", 3 * 2, 6 * 3 * N_POINTS - 3 * 2)
    assert report.healed[0] == Healed(FIRST.label, FEW[0], "not-published")
    assert report.healed_gaps == 3


# Damaged stores


def test_a_changed_value_is_reported_with_the_value_of_the_archive(pristine_archive, store):
    field = read_field(pristine_archive.path(FIRST), "temperature_2m")
    truth = np.float32(field.values[nearest_cells(field.latitude, field.longitude, points_in(WINDOW)[2:3])[0]])
    set_value(store, "temperature_2m", truth + np.spacing(truth))
    found = single_difference(verify(store))
    assert (found.kind, found.variable, found.point_id) == ("other-value", "temperature_2m", "p2")
    assert found.file == "20240101T00-f01"
    assert (np.float32(found.store), np.float32(found.expected)) == (truth + np.spacing(truth), truth)


def test_wind_may_differ_only_in_the_last_place(store):
    before = set_value(store, WIND[0], 0)
    set_value(store, WIND[0], np.nextafter(before, np.float32(99)))
    assert verify(store).outcome == "equal"
    set_value(store, WIND[0], before + np.float32(1e-4))
    found = single_difference(verify(store))
    assert (found.kind, found.variable) == ("other-value", WIND[0])


@pytest.mark.parametrize(("chunk_points", "point_ids"), [(2, "p0 to p1"), (6, "p0 to p5")])
def test_a_flipped_bit_in_a_shard_damages_one_chunk_and_all_other_chunks_are_compared(
    pristine_archive, tmp_path, chunk_points, point_ids
):
    store = fill(pristine_archive, tmp_path, chunk_points=chunk_points, shard_points=6)
    flip_a_bit(store, "temperature_2m")
    report = verify(store)
    assert report.outcome == "different"
    assert report.counts == {"damaged-chunk": 6 * chunk_points}
    assert {(each.variable, each.point_id) for each in report.differences} == {("temperature_2m", point_ids)}
    assert report.values_compared == 6 * 3 * N_POINTS - 6 * chunk_points


def test_a_missing_value_is_reported(store):
    before = set_value(store, "temperature_2m", np.nan)
    found = single_difference(verify(store))
    assert (found.kind, found.point_id, found.store) == ("value-is-missing", "p2", None)
    assert np.float32(found.expected) == before


def test_a_value_in_a_gap_is_reported(archive, tmp_path):
    drop_message(archive, FIRST, "temperature_2m")
    store = fill(archive, tmp_path)
    report = verify(store)
    assert (report.outcome, report.gap_values, report.healed) == ("equal", N_POINTS, ())
    set_value(store, "temperature_2m", 271.5)
    found = single_difference(verify(store))
    assert (found.kind, found.point_id, found.store) == ("value-in-a-gap", "p2", 271.5)
    assert found.note == "message-not-found"


def test_a_wrong_status_is_reported(store):
    set_value(store, "status", 8)
    found = single_difference(verify(store))
    assert (found.kind, found.file) == ("other-status", FIRST.label)
    assert (found.store, found.expected) == ("not-published", "complete")


def test_a_value_where_the_messages_bitmap_has_none_is_reported(archive, tmp_path):
    field = read_field(archive.path(FIRST), "temperature_2m")
    values = field.values.copy()
    values[nearest_cells(field.latitude, field.longitude, points_in(WINDOW)[2:3])] = 9999  # ecCodes' missing value
    reencode_temperature(archive, values, bitmapPresent=1)
    store = fill(archive, tmp_path)
    assert np.isnan(zarr.open_array(store / "temperature_2m")[0, 1, 2])
    assert verify(store).outcome == "equal"
    set_value(store, "temperature_2m", 280)
    found = single_difference(verify(store))
    assert (found.kind, found.point_id, found.store, found.expected) == ("value-from-nowhere", "p2", 280.0, None)


def test_packings_that_hrrr_does_not_use_are_decoded_in_a_child_process(archive, tmp_path, monkeypatch):
    values = read_field(archive.path(FIRST), "temperature_2m").values
    reencode_temperature(archive, values, packingType="grid_ieee", precision=1)
    store = fill(archive, tmp_path, engine="eccodes", lead_hours=[1], cycles=[0])
    assert verify(store).outcome == "equal"
    assert np.isfinite(zarr.open_array(store / "temperature_2m")[0, 0]).all()
    monkeypatch.setattr(decoding, "_CODE", "import os; os.abort()")
    (left,) = verify(store).unchecked
    assert (left.variables, left.reason) == (("temperature_2m",), "decode-failed")
    assert "exits with code -6 over the message" in left.note


# Damaged archives


def test_a_flipped_bit_in_a_message_is_reported(archive, store):
    # 10 m wind has simple packing with 10 bits a value: one bit changes one cell, and both components there.
    u = read_field(archive.path(FIRST), WIND[0])
    cell = int(nearest_cells(u.latitude, u.longitude, points_in(WINDOW)[3:4])[0])
    content = bytearray(archive.path(FIRST).read_bytes())
    data = content.index(u.message) + len(u.message) - 4 - -(-10 * WINDOW.ny * WINDOW.nx // 8)
    content[data + 10 * cell // 8] ^= 1 << (7 - 10 * cell % 8)
    archive.path(FIRST).write_bytes(content)
    report = verify(store, source=str(archive.root))
    assert {(each.kind, each.file, each.variable, each.point_id) for each in report.differences} == {
        ("other-value", FIRST.label, name, "p3") for name in WIND
    }
    assert (report.values_differing, report.values_compared) == (2, 6 * 3 * N_POINTS)


def test_a_file_of_another_run_is_reported(archive, store):
    shutil.copy(archive.path(GribFile(INITS[1], 1)), archive.path(FIRST))
    report = verify(store, source=str(archive.root))
    assert report.counts == {"no-such-message": 3 * N_POINTS}
    assert [(each.variable, each.values) for each in report.differences] == [(name, N_POINTS) for name in FEW]
    assert {each.note for each in report.differences} == {"the message is of the run 2024-01-01T06, 60 min"}
    assert report.values_differing == 3 * N_POINTS


def test_another_lead_time_or_grid_is_reported(archive, store, tmp_path):
    shutil.copy(archive.path(GribFile(INITS[0], 24)), archive.path(FIRST))
    first, *_ = verify(store, source=str(archive.root)).differences
    assert (
        first.note == "the file has no message of TMP:2 m above ground:instant, only of the run 2024-01-01T00, 1440 min"
    )
    other = GridWindow(289, 794, 14, 18)
    moved = write_archive(tmp_path / "b", init_times=INITS, lead_hours=LEADS, variables=FEW, window=other)
    report = verify(store, source=str(moved.root))
    assert {each.note for each in report.differences} == {"its grid differs from the store's"}


def test_earth_relative_wind_in_the_archive_is_reported(archive, store):
    content = bytearray(archive.path(FIRST).read_bytes())
    message = read_field(archive.path(FIRST), WIND[0]).message
    content[content.index(message) + section_starts(message)[3] + 46] ^= 8  # resolution and component flags
    archive.path(FIRST).write_bytes(content)
    report = verify(store, source=str(archive.root))
    assert [each.note for each in report.differences] == [
        "its components are already relative to east and north",
        "VGRD:10 m above ground:instant cannot be turned: its components are already relative to east and north",
    ]


def test_messages_after_a_damaged_one_are_compared(archive, store):
    content = bytearray(archive.path(FIRST).read_bytes())
    content[16 + 14] = 99  # the month, in the first message
    archive.path(FIRST).write_bytes(content)
    report = verify(store, source=str(archive.root))
    (left,) = report.unchecked
    assert (left.variables, left.reason) == (("temperature_2m",), "decode-failed")
    assert left.note == "message 1 of the file is damaged: month must be in 1..12"
    assert report.values_compared == report.values_equal == 6 * 3 * N_POINTS - N_POINTS


def test_a_grid_53_m_off_as_in_the_first_hrrr_versions_is_the_same_grid(archive, store):
    content = bytearray(archive.path(FIRST).read_bytes())
    for field in read_fields(archive.path(FIRST)):
        latitude = content.index(field.message) + section_starts(field.message)[3] + 38
        (microdegrees,) = struct.unpack_from(">I", content, latitude)
        struct.pack_into(">I", content, latitude, microdegrees + 476)  # millionths of a degree: 53 m
    archive.path(FIRST).write_bytes(content)
    assert verify(store, source=str(archive.root)).outcome == "equal"


def test_a_file_that_no_longer_exists_is_not_checked(archive, store):
    delete(archive, FIRST)
    report = verify(store, source=str(archive.root))
    assert (report.outcome, report.exit_code, report.counts) == ("not-checked", 3, {})
    (left,) = report.unchecked
    assert (left.file, left.variables, left.reason) == (FIRST.label, tuple(FEW), "not-published")
    assert report.unchecked_values == left.values == 3 * N_POINTS
    set_value(store, "temperature_2m", 1, file=GribFile(INITS[1], 1))
    assert verify(store, source=str(archive.root)).exit_code == 1


def test_messages_after_the_end_of_a_truncated_file_are_not_checked(archive, store):
    truncate(archive, FIRST, archive.path(FIRST).stat().st_size - 100)
    report = verify(store, source=str(archive.root))
    assert report.outcome == "not-checked"
    assert {each.reason for each in report.unchecked} == {"truncated"}
    assert WIND[1] in {name for each in report.unchecked for name in each.variables}
    assert report.values_compared > 5 * 3 * N_POINTS, "the messages before the cut are compared"


def test_a_gap_that_the_archive_can_fill_now_is_not_a_difference(pristine_archive, archive, tmp_path):
    drop_message(archive, FIRST, "temperature_2m")
    store = fill(archive, tmp_path)
    shutil.copy(pristine_archive.path(FIRST), archive.path(FIRST))
    report = verify(store)
    assert (report.outcome, report.healed_gaps) == ("equal", 1)
    assert report.healed == (Healed(FIRST.label, "temperature_2m", "message-not-found"),)


# Sources


def test_each_value_is_compared_with_its_own_source(pristine_archive, archive, tmp_path):
    drop_message(archive, FIRST, "temperature_2m")
    store = fill(archive, tmp_path, source=[str(archive.root), str(pristine_archive.root)])
    assert verify(store).outcome == "equal", "temperature came from the second source, wind from the first"
    shutil.copy(archive.path(GribFile(INITS[1], 1)), archive.path(FIRST))
    report = verify(store)
    assert {each.variable for each in report.differences} == set(WIND)


def test_a_directory_in_the_ledger_is_read_even_if_it_is_not_a_source(archive, tmp_path):
    store = fill(archive, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    root = json.loads((store / "zarr.json").read_bytes())
    root["attributes"][SETTINGS] = encode_settings({**settings_in(root), "source": [str(empty)]})
    (store / "zarr.json").write_text(json.dumps(root))
    assert verify(store).outcome == "equal"
    assert verify(store, source=str(empty)).outcome == "not-checked", "only the sources given count"


def test_objects_are_downloaded_over_http(store, pristine_archive):
    with FaultServer(pristine_archive) as server:
        report = verify(store, source=server.url)
    assert (report.outcome, report.values_compared) == ("equal", 6 * 3 * N_POINTS)


def test_an_unreachable_archive_is_an_error(store):
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9/hrrr\.20240101.* cannot be read"):
        verify(store, source="http://127.0.0.1:9")
    with pytest.raises(UnreachableError):
        verify(store, source="http://127.0.0.1:9", every_file=False, sample=1)


def test_no_more_files_are_requested_after_three_without_a_response(pristine_store, monkeypatch):
    requested = []

    def open_first(source, key):
        requested.append(key)
        if len(requested) > 1:
            raise UnreachableError("no response")
        return open_object(source, key)

    monkeypatch.setattr(downloads, "open_object", open_first)
    report = verify(pristine_store)
    assert len(requested) == 1 + verifying.MAX_SILENT_FILES
    assert (report.outcome, report.values_compared, len(report.unchecked)) == ("not-checked", 3 * N_POINTS, 5)
    assert report.unchecked_values == 5 * 3 * N_POINTS
    note = "not requested, after 3 consecutive files without a response: no response"
    assert report.unchecked[-1].note.startswith(note)


# Files to verify


def test_a_sample_is_even_and_reproducible_by_its_seed(pristine_store):
    first, again = (verify(pristine_store, every_file=False, sample=3, seed=8) for _ in range(2))
    assert (first.files, first.files_in_store, first.seed, first.values_compared) == (3, 6, 8, 3 * 3 * N_POINTS)
    assert first.bytes_read == again.bytes_read
    assert verify(pristine_store, every_file=False, sample=3).seed is not None
    assert verify(pristine_store, every_file=False).seed is None, "all six files are verified, without a sample"
    for seed in range(20):
        drawn = draw_sample(100, 10, seed)
        assert (drawn // 10).tolist() == list(range(10))
    assert draw_sample(100, 10, 1).tolist() == draw_sample(100, 10, 1).tolist() != draw_sample(100, 10, 2).tolist()


def test_only_the_given_period_is_verified(pristine_store):
    report = verify(pristine_store, start="2024-01-01T06", end="2024-01-01T06")
    assert (report.files, report.files_in_store) == (3, 3)
    assert verify(pristine_store, end="2024-01-01T00").files == 3
    with pytest.raises(PlanError, match="has runs from 2024-01-01T00 to 2024-01-01T06, none of them"):
        verify(pristine_store, start="2024-02-01")


def test_nothing_to_verify_is_an_error(pristine_store, tmp_path):
    with pytest.raises(ConfigError, match="a sample of 0 files verifies nothing"):
        verify(pristine_store, sample=0)
    with pytest.raises(StoreMismatchError, match="holds no store"):
        verify(tmp_path / "none.zarr")
    shutil.rmtree(shutil.copytree(pristine_store, tmp_path / "bare.zarr") / ".hrrr" / "ledger")
    with pytest.raises(PlanError, match="nothing to verify"):
        verify(tmp_path / "bare.zarr")


# Output

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
    unchecked=(Unchecked("20240101T12-f01", ("temperature_2m",), "not-published", "a/b.grib2 does not exist", 6),),
    healed_gaps=1,
    healed=(Healed("20240101T18-f01", "temperature_2m", "not-published"),),
    bytes_read=3_000_000_000,
    seconds=12.0,
)


def rendered(report):
    """Return the printed tables, with single spaces."""
    console = Console(width=160)
    with console.capture() as captured:
        print_tables(console, report.tables())
    return "\n".join(" ".join(line.split()) for line in captured.get().splitlines())


def test_a_report_is_printed_as_tables():
    text = rendered(REPORT)
    for line in (
        "files 20 of 1,200, drawn with --seed 7; 3,000.0 MB read",
        "values 1,100 compared with the archive: 1,090 equal, 10 different",
        "gaps 40 values missing, as in the ledger, except 1",
        "not checked 6 values",
        "differs 9 values no-such-message: the archive's file has no such message",
        "20240101T06-f01 3 variables 3 values - - no-such-message: the message is of another run",
        "20240101T00-f01 temperature_2m kboi 301.25 301.23 other-value",
        "20240101T06-f02 temperature_2m kboi 280.0 - value-in-a-gap: truncated",
        "20240101T12-f01 temperature_2m not-published a/b.grib2 does not exist",
        "20240101T18-f01 temperature_2m not-published",
    ):
        assert line in text
    assert text.count("20240101T06-f01") == 1, "one row for each cause"
    many = replace(REPORT, differences=REPORT.differences[:1] * MAX_LISTED, counts={"other-value": 2000})
    assert "differences (the first 100, 2,000 in all)" in rendered(many)
    good = replace(REPORT, counts={}, differences=(), unchecked=(), unchecked_values=0, healed=(), healed_gaps=0)
    assert rendered(good).startswith("equal")
    assert "difference" not in rendered(good)


def test_only_the_first_differences_are_listed_and_all_are_counted(store):
    for name in FEW:
        array = zarr.open_array(store / name, mode="r+")
        array[...] = array[...] + 1
    report = verify(store)
    assert report.counts == {"other-value": 6 * 3 * N_POINTS}
    assert len(report.differences) == MAX_LISTED < 6 * 3 * N_POINTS


def test_the_command_passes_its_options_and_exits_with_the_outcome(monkeypatch):
    calls = []

    def verify(**given):
        calls.append(given)
        return REPORT

    monkeypatch.setattr(verifying, "verify", verify)
    flags = ["--sample", "5", "--start", "2024-01-01", "--end", "2024-01-02", "--seed", "3", "--source", "a"]
    options = ["--source", "google", "--source-option", "region=x", "--store-option", "endpoint=http://h:1"]
    done = CliRunner().invoke(cli, ["verify", "--store", "s", *flags, *options, "--json"])
    assert done.exit_code == 1
    printed = json.loads(done.stdout)
    assert (printed["outcome"], printed["differences"][0]["point_id"]) == ("different", "kboi")
    (given,) = calls
    assert given == {
        "progress": True,
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


def test_the_command_verifies_a_store(store):
    done = CliRunner().invoke(cli, ["verify", "--store", str(store), "--all"])
    assert done.exit_code == 0, done.output
    assert "108 compared with the archive: 108 equal, 0 different" in " ".join(done.stdout.split())
    set_value(store, "temperature_2m", np.nan)
    done = CliRunner().invoke(cli, ["verify", "--store", str(store), "--all", "--json"])
    assert done.exit_code == 1
    (difference,) = json.loads(done.stdout)["differences"]
    assert (difference["kind"], difference["store"]) == ("value-is-missing", None)
