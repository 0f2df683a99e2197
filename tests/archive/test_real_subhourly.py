"""Quarter hours in real bytes: two whole sub-hourly inventories, and two messages with ecCodes as the oracle."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import eccodes
import numpy as np
import pytest
import xarray as xr
from support import needs
from support.oracle import as_bits, read_fields, without_dask
from support.paths import SHARED_DATA

from hrrr_dask.api import backfill
from hrrr_dask.archive.index_scan import scan_messages
from hrrr_dask.archive.inventory import parse_inventory, select
from hrrr_dask.catalog.elements import parse_raw_element
from hrrr_dask.catalog.products import object_key
from hrrr_dask.catalog.selectors import INSTANT, Selector, Wanted, WindowSpec
from hrrr_dask.catalog.spelling import parse_spelled
from hrrr_dask.errors import AmbiguousMessageError, MessageNotFoundError
from hrrr_dask.grib.sections import read_header
from hrrr_dask.grid.points import Points
from hrrr_dask.records import GribFile, Record, Window

F00 = SHARED_DATA / "idx" / "hrrr.20221014.t01z.wrfsubhf00.grib2.idx"
F09 = SHARED_DATA / "idx" / "hrrr.20221014.t03z.wrfsubhf09.grib2.idx"
MESSAGES = SHARED_DATA / "messages" / "hrrr.20221014.t01z.wrfsubhf.REFC-VBDSF.grib2"

LEADS = {F00: (0,), F09: (495, 510, 525, 540)}
"""Lead times of each file [min]."""
CASES = [
    pytest.param(path, lead, id=f"{path.name[14:29]}-{lead}min") for path, leads in LEADS.items() for lead in leads
]
MESSAGES_OF_ONE_LEAD = 49

pytestmark = needs.real_bytes


def read_records(path: Path) -> tuple[Record, ...]:
    hour = 1 if path is F00 else 3
    return parse_inventory(path.read_text(), datetime(2022, 10, 14, hour))


def select_at(records: tuple[Record, ...], selector: Selector, lead_minutes: int) -> Record:
    return select(records, Wanted(selector, lead_minutes))


def relative(window: Window) -> WindowSpec:
    """The window of a selector that has this one at its lead time."""
    if window.kind == "instant":
        return INSTANT
    return WindowSpec(window.kind, window.stop - window.start or None)


# inventories


@pytest.mark.parametrize("path", LEADS, ids=lambda path: path.name)
def test_every_line_of_a_file_is_of_one_of_its_lead_times(path):
    records = read_records(path)
    assert len(records) == len(path.read_text().splitlines())
    assert all(record.window is not None for record in records)
    stops = [record.window.stop for record in records]
    assert stops == [lead for lead in LEADS[path] for _ in range(MESSAGES_OF_ONE_LEAD)]


def test_windows_are_instants_and_averages_and_sums_of_5_or_15_minutes():
    windows = {(record.window.kind, record.window.stop - record.window.start) for record in read_records(F09)}
    assert windows == {("instant", 0), ("ave", 5), ("ave", 15), ("acc", 15)}


def test_statistics_of_the_analysis_are_over_no_time():
    windows = {(record.window.kind, record.window.start, record.window.stop) for record in read_records(F00)}
    assert windows == {("instant", 0, 0), ("ave", 0, 0), ("acc", 0, 0)}


@pytest.mark.parametrize("path", LEADS, ids=lambda path: path.name)
def test_element_level_and_window_name_one_line(path):
    keys = [(record.element, record.level, record.window) for record in read_records(path)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("path", "lead"), CASES)
def test_every_line_is_selected_by_its_element_level_and_window(path, lead):
    records = read_records(path)
    wanted = [record for record in records if record.window.stop == lead]
    assert len(wanted) == MESSAGES_OF_ONE_LEAD
    for record in wanted:
        assert select_at(records, Selector(record.element, record.level, relative(record.window)), lead) is record


@pytest.mark.parametrize("path", LEADS, ids=lambda path: path.name)
def test_every_line_is_selected_by_its_own_words_at_its_lead_time(path):
    records = read_records(path)
    for line, record in zip(path.read_text().splitlines(), records, strict=True):
        words = ":".join(line.split(":")[3:6])
        assert select_at(records, parse_spelled(words), record.window.stop) is record


@pytest.mark.parametrize(("path", "lead"), CASES)
@pytest.mark.parametrize("name", ["DSWRF:surface", "VBDSF:surface", "UGRD:10 m above ground", "VGRD:10 m above ground"])
def test_instants_are_told_from_averages(path, lead, name):
    records = read_records(path)
    instant = select_at(records, Selector.parse(f"{name}:instant"), lead)
    assert instant.window == Window("instant", lead, lead)
    minutes = 15 if "surface" in name else 5
    average = Selector.parse(f"{name}:{minutes} min ave")
    if lead:
        assert select_at(records, average, lead).window == Window("ave", lead - minutes, lead)
    else:
        with pytest.raises(MessageNotFoundError):
            select_at(records, average, lead)


@pytest.mark.parametrize(("path", "lead"), CASES)
def test_without_a_window_a_selector_is_about_the_messages_of_one_lead_time(path, lead):
    records = read_records(path)
    assert select_at(records, Selector.parse("TMP:2 m above ground"), lead).window == Window("instant", lead, lead)
    with pytest.raises(AmbiguousMessageError):
        select_at(records, Selector.parse("UGRD:10 m above ground"), lead)


@pytest.mark.parametrize(("path", "lead"), CASES)
@pytest.mark.parametrize("name", ["RH:2 m above ground", "SFCR:surface"])
def test_humidity_and_roughness_are_not_there(path, lead, name):
    with pytest.raises(MessageNotFoundError):
        select_at(read_records(path), Selector.parse(f"{name}:instant"), lead)


def test_one_element_of_each_lead_time_is_written_by_number():
    raw = [record.element for record in read_records(F09) if parse_raw_element(record.element)]
    assert raw == ["var discipline=0 center=7 local_table=1 parmcat=16 parm=201"] * 4


# messages


def test_windows_in_headers_are_those_of_eccodes_in_minutes():
    found = []
    with MESSAGES.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            header = read_header(eccodes.codes_get_message(handle))
            unit = eccodes.codes_get_long(handle, "indicatorOfUnitOfTimeRange")
            template = eccodes.codes_get_long(handle, "productDefinitionTemplateNumber")
            steps = [int(step.removesuffix("m")) for step in eccodes.codes_get_string(handle, "stepRange").split("-")]
            assert (header.window.start, header.window.stop) == (steps[0], steps[-1])
            found.append((header.element, template, unit, header.window))
            eccodes.codes_release(handle)
    assert found == [("REFC", 0, 0, Window("instant", 15, 15)), ("VBDSF", 8, 0, Window("ave", 0, 15))]


def test_a_scan_of_the_file_finds_the_windows_of_its_headers():
    data = MESSAGES.read_bytes()
    records = scan_messages(lambda start, stop: data[start:stop], len(data))
    assert [(record.element, record.level, record.window) for record in records] == [
        ("REFC", "entire atmosphere", Window("instant", 15, 15)),
        ("VBDSF", "surface", Window("ave", 0, 15)),
    ]
    assert records[-1].byte_range.stop == len(data)
    assert {record.reference_time for record in records} == {datetime(2022, 10, 14, 1)}


def test_values_at_points_are_those_of_eccodes_to_the_bit_15_minutes_ahead(tmp_path):
    key = object_key(GribFile(datetime(2022, 10, 14, 1), 1, "subh"))
    (tmp_path / key).parent.mkdir(parents=True)
    shutil.copy(MESSAGES, tmp_path / key)
    fields = read_fields(MESSAGES)
    chosen = np.random.default_rng(15).choice(fields[0].values.size, 40, replace=False)
    ids = tuple(f"p{k}" for k in range(len(chosen)))
    places = np.column_stack([fields[0].latitude[chosen], fields[0].longitude[chosen]])
    points = Points(ids, ids, places[:, 0].copy(), (places[:, 1] + 180) % 360 - 180)
    wanted = ["dbz=REFC:entire atmosphere", "beam=VBDSF:surface:15 min ave"]
    settings = {"product": "subh", "lead_times": "15min", "variables": wanted, "source": [str(tmp_path)]}
    with without_dask() as client:
        report = backfill(points, "2022-10-14T01", "2022-10-14T01", str(tmp_path / "x.zarr"), client=client, **settings)
    assert (report.outcome, report.gaps) == ("done", {})
    with xr.open_zarr(tmp_path / "x.zarr", chunks=None) as found:
        here = found.sel(init_time="2022-10-14T01", lead_time="15min")
        assert here.valid_time.item() == np.datetime64("2022-10-14T01:15", "ns").astype(int)
        for name, field in zip(("dbz", "beam"), fields, strict=True):
            assert np.array_equal(as_bits(here[name].to_numpy()), as_bits(field.values[chosen])), name
