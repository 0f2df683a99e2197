"""The synthetic archive is checked against ecCodes, cfgrib, and real messages and inventories of NOAA."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import cfgrib
import eccodes
import numpy as np
import pytest
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.catalog.variables import CATALOG, DEFAULT_VARIABLES
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing import (
    DECOYS,
    DEFAULT_WINDOW,
    GridWindow,
    delete,
    drop_message,
    encode_file,
    expected_field,
    loopback_s3,
    published_at,
    remove_inventories,
    stale_inventory,
    truncate,
    write_archive,
)
from hrrr_dask.testing.archive import STATIC
from hrrr_dask.testing.messages import MESSAGES, SUBHOURLY_MESSAGES, encode_message, messages_of

ALL = frozenset(MESSAGES)
INIT = datetime(2024, 1, 1, 12)
SOLAR = ("visible_beam_downward_solar_flux", "visible_diffuse_downward_solar_flux", "downward_shortwave_flux")


def iterate_messages(content):
    """Messages of a file, by the lengths in section 0."""
    while content:
        size = int.from_bytes(content[8:16], "big")
        assert (content[:4], content[size - 4 : size]) == (b"GRIB", b"7777")
        yield content[:size]
        content = content[size:]


def sections(message):
    """Section number to its bytes."""
    found, at = {0: message[:16]}, 16
    while message[at : at + 4] != b"7777":
        size = int.from_bytes(message[at : at + 4], "big")
        found[message[at + 4]] = message[at : at + size]
        at += size
    return found


def decode(message, *keys):
    """Decode values as float32, and keys, with ecCodes."""
    handle = eccodes.codes_new_from_message(message)
    try:
        values = eccodes.codes_get_values(handle).astype(np.float32)
        shape = (eccodes.codes_get(handle, "Ny"), eccodes.codes_get(handle, "Nx"))
        return values.reshape(shape), tuple(eccodes.codes_get(handle, key) for key in keys)
    finally:
        eccodes.codes_release(handle)


def decoded_equals_expected(name, file, window=DEFAULT_WINDOW):
    values, _ = decode(encode_message(MESSAGES[name], file, window))
    expected = expected_field(name, file.init_time, 60 * file.lead_hours, window)
    return expected.dtype == np.float32 and values.tobytes() == expected.tobytes()


# Values


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_message_decodes_to_the_expected_bits_at_every_hour_of_the_day(name):
    for hour, lead in (*product(range(24), (0, 5)), *product((0, 18), (1, 2, 24, 48))):
        assert decoded_equals_expected(name, GribFile(datetime(2024, 7, 3, hour), lead))


def test_a_whole_grid_file_decodes_to_the_expected_bits():
    whole, file = GridWindow.whole(), GribFile(datetime(2024, 1, 1, 18), 5)
    names = {"temperature_2m", "u_component_wind_10m", "precipitation_1h", "surface_roughness", *SOLAR}
    content, _ = encode_file(file, whole, names)
    for message, kind in zip(iterate_messages(content), messages_of(file, frozenset(names)), strict=True):
        assert np.array_equal(decode(message)[0], expected_field(kind.name, file.init_time, 300, whole))


def test_a_10m_wind_message_of_the_whole_grid_has_the_length_of_noaas():
    message = encode_message(MESSAGES["v_component_wind_10m"], GribFile(INIT, 1), GridWindow.whole())
    assert len(message) == 2_381_615


@pytest.mark.parametrize("name", STATIC)
def test_elevation_and_land_mask_are_the_same_in_all_files(name):
    files = list(product((datetime(2024, 1, day, hour) for day in (1, 2, 15) for hour in range(24)), range(0, 49, 6)))
    fields = {expected_field(name, init, 60 * lead, DEFAULT_WINDOW).tobytes() for init, lead in files}
    assert len(fields) == 1


def test_water_has_no_elevation_and_land_has():
    elevation, land = (expected_field(name, INIT, 0, GridWindow.whole()) for name in STATIC)
    assert np.array_equal(land, elevation > 0)
    assert 0.005 < np.mean(land == 0) < 0.5
    assert elevation.max() < 3000


@pytest.mark.parametrize("name", sorted(ALL - {*SOLAR, *STATIC, "precipitation_run", "precipitation_1h"}))
def test_all_files_have_different_fields(name):
    files = list(product((datetime(2024, 1, day, hour) for day in (1, 2, 15) for hour in range(24)), range(0, 49, 6)))
    fields = {expected_field(name, init, 60 * lead, DEFAULT_WINDOW).tobytes() for init, lead in files}
    assert len(fields) == len(files)


@pytest.mark.parametrize("name", SOLAR)
def test_all_files_have_different_irradiance_by_day(name):
    files = [
        (datetime(2024, 1, day, hour), lead) for day in (1, 2, 15) for hour in range(24) for lead in range(0, 49, 3)
    ]
    fields = [expected_field(name, init, 60 * lead, DEFAULT_WINDOW) for init, lead in files]
    lit = [field.tobytes() for field in fields if field.any()]
    assert len(lit) > len(files) // 3
    assert len(set(lit)) == len(lit)


@pytest.mark.parametrize("name", ["precipitation_run", "precipitation_1h"])
def test_precipitation_differs_between_lead_times_and_init_times(name):
    leads = {expected_field(name, INIT, 60 * lead, DEFAULT_WINDOW).tobytes() for lead in range(1, 49)}
    runs = {expected_field(name, INIT.replace(hour=hour), 720, DEFAULT_WINDOW).tobytes() for hour in range(24)}
    assert (len(leads), len(runs)) == (48, 24)


def test_all_variables_have_different_fields():
    for lead in (2, 9):
        fields = {expected_field(name, INIT, 60 * lead, DEFAULT_WINDOW).tobytes() for name in MESSAGES}
        assert len(fields) == len(MESSAGES)


@pytest.mark.parametrize("name", ["temperature_2m", "u_component_wind_10m", "surface_pressure", "surface_roughness"])
def test_a_cell_differs_from_most_neighbours_and_from_every_other_cell_in_some_variable(name):
    field = expected_field(name, INIT, 300, DEFAULT_WINDOW)
    for shift in ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2)):
        assert np.mean(field == np.roll(field, shift, (0, 1))) < 0.2
    stack = np.stack([expected_field(other, INIT, 300, DEFAULT_WINDOW) for other in DEFAULT_VARIABLES])
    assert len(np.unique(stack.reshape(len(stack), -1), axis=1).T) == field.size


def test_the_values_of_a_window_equal_those_of_the_whole_grid():
    window = GridWindow(700, 1000, 5, 7)
    for name in MESSAGES:
        whole = expected_field(name, INIT, 300, GridWindow.whole())
        assert np.array_equal(expected_field(name, INIT, 300, window), whole[700:705, 1000:1007])


def test_the_domains_have_different_fields():
    conus, alaska = (expected_field("temperature_2m", INIT, 0, GridWindow(9, 9, 4, 4, domain)) for domain in CORNERS)
    assert not np.array_equal(conus, alaska)


def test_the_weather_is_plausible():
    limits = {
        "temperature_2m": (270, 300),
        "relative_humidity_2m": (0, 100),
        "surface_pressure": (84_000, 102_000),
        "total_cloud_cover": (0, 100),
        "precipitation_1h": (0, 2),
        "visible_beam_downward_solar_flux": (0, 1361),
        "composite_reflectivity": (-10, 60),
    }
    whole = GridWindow.whole()
    for hour in (3, 11, 19):
        fields = {name: expected_field(name, INIT.replace(hour=hour), 360, whole) for name in (*limits, "dewpoint_2m")}
        for name, (low, high) in limits.items():
            assert low <= fields[name].min() <= fields[name].max() <= high, name
        assert (fields["dewpoint_2m"] <= fields["temperature_2m"]).all()


def test_hourly_precipitation_adds_up_to_that_of_the_run():
    hours = [expected_field("precipitation_1h", INIT, 60 * lead, DEFAULT_WINDOW) for lead in range(1, 37)]
    assert np.array_equal(sum(hours), expected_field("precipitation_run", INIT, 36 * 60, DEFAULT_WINDOW))
    assert min(hour.min() for hour in hours) >= 0
    assert sum(hours).max() > 0


def test_irradiance_at_night_is_a_constant_zero_field():
    for window, name in product((DEFAULT_WINDOW, GridWindow.whole()), SOLAR):
        night = encode_message(MESSAGES[name], GribFile(datetime(2024, 1, 1, 7), 0), window)
        assert len(night) == 188
        assert not decode(night)[0].any()
        assert expected_field(name, datetime(2024, 1, 1, 18), 0, window).min() >= 0
        assert expected_field(name, datetime(2024, 1, 1, 18), 0, DEFAULT_WINDOW).max() > 100


# Messages


def test_the_packing_is_that_of_noaa():
    for message in messages_of(GribFile(INIT, 5), ALL - {"land_surface"}):  # constant in this window
        keys = ("dataRepresentationTemplateNumber", "binaryScaleFactor", "decimalScaleFactor")
        encoded = encode_message(message, GribFile(INIT, 5), DEFAULT_WINDOW)
        _, (template, _, decimals) = decode(encoded, *keys)
        assert (template, decimals) == (0 if "wind_10m" in message.name else 3, message.decimals), message.name
        if template == 3:
            assert decode(encoded, "orderOfSpatialDifferencing", "missingValueManagementUsed")[1] == (2, 0)


def test_messages_match_the_catalogue_and_the_decoys():
    assert {*CATALOG, *DECOYS} <= {*MESSAGES, *SUBHOURLY_MESSAGES}
    assert set(MESSAGES) <= {*CATALOG, *DECOYS, *STATIC}
    for name, variable in CATALOG.items():
        message = (MESSAGES | SUBHOURLY_MESSAGES)[name]
        identity = (message.element, message.level, message.numbers)
        assert identity == (variable.selector.element, variable.selector.level, variable.numbers)
        assert message.statistic == variable.selector.window.kind


REAL_TWINS = {
    "messages/hrrr.20230722.t06z.wrfsfcf01.TMP-surface.grib2": ("temperature_surface",),
    "messages/hrrr.20230722.t06z.wrfsfcf01.UGRD-10m.grib2": ("u_component_wind_10m",),
    "messages/hrrr.20251203.t00z.wrfsfcf00.HPBL-surface.grib2": ("boundary_layer_height",),
    "messages/hrrr.20260703.t00z.wrfsfcf28.DPT-2m.grib2": ("dewpoint_2m",),
    "messages/hrrr.20201214.t00z.wrfsfcf12.APCP-two-windows.grib2": ("precipitation_run", "precipitation_1h"),
}


@needs.real_bytes
@pytest.mark.parametrize("path", REAL_TWINS)
def test_headers_of_whole_grid_messages_equal_noaas_byte_for_byte(path):
    date, hour, lead = re.search(r"hrrr\.(\d{8})\.t(\d\d)z\.wrfsfcf(\d\d)", path).groups()
    file = GribFile(datetime.strptime(date + hour, "%Y%m%d%H"), int(lead))
    content = (SHARED_DATA / path).read_bytes()
    starts = [match.start() for match in re.finditer(rb"GRIB\x00\x00[\x00-\x03]\x02\x00\x00\x00", content)]
    assert len(starts) == len(REAL_TWINS[path])
    for start, name in zip(starts, REAL_TWINS[path], strict=True):
        real = sections(content[start : start + int.from_bytes(content[start + 8 : start + 16], "big")])
        ours = sections(encode_message(MESSAGES[name], file, GridWindow.whole()))
        assert ours[0][:8] == real[0][:8]
        assert (ours[1], ours[3], ours[4], ours[6]) == (real[1], real[3], real[4], real[6])
        assert ours[5][:11] == real[5][:11]  # length, number of values, template
        assert ours[5][20:31] == real[5][20:31]  # kind of values, splitting method, missing value management
        assert ours[5][47:48] == real[5][47:48]  # order of spatial differencing


@needs.real_bytes
def test_headers_of_a_window_equal_those_of_the_real_window_byte_for_byte():
    window, file = GridWindow(711, 366, 78, 41), GribFile(datetime(2018, 7, 22, 5), 1)
    content = next((SHARED_DATA / "archive").rglob("hrrr.t05z.wrfsfcf01.grib2")).read_bytes()
    real = [sections(message) for message in iterate_messages(content)]
    headers = {found[0][6:7] + found[1] + found[4]: found[3] for found in real}
    twins = 0
    for message in messages_of(file, ALL):
        ours = sections(encode_message(message, file, window))
        noaa = headers.get(ours[0][6:7] + ours[1] + ours[4])
        if noaa is None:
            continue
        twins += 1
        assert (ours[3][:38], ours[3][46:]) == (noaa[:38], noaa[46:])
        corners = zip(np.frombuffer(ours[3][38:46], ">i4"), np.frombuffer(noaa[38:46], ">i4"), strict=True)
        assert all(abs(int(mine) - int(noaas)) <= 1 for mine, noaas in corners)  # the cutter rounds down
    assert twins == 18


@needs.real_bytes
def test_headers_of_alaska_equal_noaas_byte_for_byte():
    file = GribFile(datetime(2024, 1, 1), 0, domain="alaska")
    real = sections((SHARED_DATA / "messages" / "hrrr.20240101.t00z.wrfsfcf00.ak.REFC.grib2").read_bytes())
    ours = sections(encode_message(MESSAGES["composite_reflectivity"], file, GridWindow.whole("alaska")))
    assert (ours[1], ours[3], ours[4], ours[6]) == (real[1], real[3], real[4], real[6])


# Grid

CORNERS = {
    "conus": [(0, 0, 21.138123, 237.280472), (1058, 1798, 47.842195, 299.082807), (1058, 0, 47.838623, 225.90452)],
    "alaska": [(0, 0, 41.612949, 185.117126)],
}


@pytest.mark.parametrize("domain", CORNERS)
def test_corners_of_the_whole_grids_have_noaas_coordinates(domain):
    for row, column, latitude, longitude in CORNERS[domain]:
        assert np.allclose(GridWindow.whole(domain).latlon(row, column), (latitude, longitude), atol=2e-6)


@pytest.mark.parametrize(
    "window",
    [
        DEFAULT_WINDOW,
        GridWindow(1055, 1790, 4, 9),
        GridWindow(0, 1700, 3, 99),
        GridWindow(0, 0, 5, 6, "alaska"),
        GridWindow(880, 1200, 30, 40, "alaska"),
    ],
)
def test_every_cell_has_the_coordinates_computed_by_eccodes(window):
    message = encode_message(MESSAGES["temperature_2m"], GribFile(INIT, 0, domain=window.domain), window)
    handle = eccodes.codes_new_from_message(message)
    try:
        latitude = eccodes.codes_get_array(handle, "latitudes").reshape(window.shape)
        longitude = eccodes.codes_get_array(handle, "longitudes").reshape(window.shape)
    finally:
        eccodes.codes_release(handle)
    ours = window.latlon(*np.indices(window.shape))
    assert np.abs(ours[0] - latitude).max() < 1e-5
    assert np.abs(ours[1] - longitude % 360).max() < 1e-5


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ((-1, 0, 5, 5), "all within the 1059 x 1799 cells"),
        ((1050, 0, 10, 5), "all within the 1059 x 1799 cells"),
        ((0, 0, 1, 5), "two rows and columns or more"),
        ((0, 0, 5, 5, "mars"), "use conus or alaska"),
    ],
)
def test_a_window_outside_the_grid_is_an_error(bad, text):
    with pytest.raises(ConfigError, match=text):
        GridWindow(*bad)


# Inventories


def test_inventory_agrees_with_the_messages_of_the_file():
    for lead in (0, 1, 5):
        content, inventory = encode_file(GribFile(INIT, lead), DEFAULT_WINDOW, ALL)
        sizes = [len(message) for message in iterate_messages(content)]
        lines = [line.split(":") for line in inventory.splitlines()]
        assert [int(line[0]) for line in lines] == list(range(1, len(sizes) + 1))
        offsets = [int(line[1]) for line in lines] + [len(content)]
        assert [stop - start for start, stop in pairwise(offsets)] == sizes
        assert {line[2] for line in lines} == {"d=2024010112"}


@pytest.mark.parametrize(
    ("lead", "windows"),
    [
        (0, ["0-0 day acc fcst"]),
        (1, ["0-1 hour acc fcst"]),
        (5, ["0-5 hour acc fcst", "4-5 hour acc fcst"]),
        (24, ["0-1 day acc fcst", "23-24 hour acc fcst"]),
        (25, ["0-25 hour acc fcst", "24-25 hour acc fcst"]),
        (48, ["0-2 day acc fcst", "47-48 hour acc fcst"]),
    ],
)
def test_accumulation_windows_are_formatted_as_by_noaa(lead, windows):
    _, inventory = encode_file(GribFile(INIT, lead), DEFAULT_WINDOW, ALL)
    assert re.findall("APCP:surface:(.*):\n", inventory) == windows


@needs.real_bytes
@pytest.mark.parametrize("path", ["20250801.t00z.wrfsfcf00", "20221014.t09z.wrfsfcf05", "20250801.t00z.wrfsfcf24"])
def test_inventory_lines_occur_in_noaas_inventory_in_the_same_order(path):
    date, hour, lead = re.fullmatch(r"(\d{8})\.t(\d\d)z\.wrfsfcf(\d\d)", path).groups()
    file = GribFile(datetime.strptime(date + hour, "%Y%m%d%H"), int(lead))
    real = [line.split(":", 2)[2] for line in (SHARED_DATA / "idx" / f"hrrr.{path}.grib2.idx").read_text().splitlines()]
    _, inventory = encode_file(file, DEFAULT_WINDOW, ALL)
    positions = [real.index(line.split(":", 2)[2]) for line in inventory.splitlines()]
    assert positions == sorted(positions)


def test_a_file_has_only_messages_published_at_its_init_time():
    _, inventory = encode_file(GribFile(datetime(2015, 5, 1), 3), DEFAULT_WINDOW, CATALOG)
    assert "RH:2 m" not in inventory
    assert "TMP:2 m" in inventory


# Archives


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path, init_times=[INIT], lead_hours=[1, 5], window=GridWindow(300, 800, 4, 5))


def test_an_archive_has_the_layout_of_the_bucket(tmp_path):
    written = write_archive(
        tmp_path,
        start=datetime(2024, 1, 1),
        end=datetime(2024, 1, 2),
        cycles=[0, 5],
        lead_hours=[18, 19],
        variables=["temperature_2m"],
        decoys=False,
        window=GridWindow(0, 0, 2, 2),
    )
    labels = ["20240101T00-f18", "20240101T00-f19", "20240101T05-f18", "20240102T00-f18", "20240102T00-f19"]
    assert [file.label for file in written.files] == labels
    assert written.path(written.files[2]) == tmp_path / "hrrr.20240101/conus/hrrr.t05z.wrfsfcf18.grib2"
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 10
    assert written.names == ("temperature_2m",)


def test_an_alaska_archive_has_the_keys_of_that_domain(tmp_path):
    window = GridWindow(400, 600, 4, 4, "alaska")
    written = write_archive(tmp_path, init_times=[INIT], lead_hours=[0], window=window, inventories=False)
    assert [path.name for path in tmp_path.rglob("*.*grib2*")] == ["hrrr.t12z.wrfsfcf00.ak.grib2"]
    content = written.path(written.files[0]).read_bytes()
    assert len(list(iterate_messages(content))) == len(messages_of(written.files[0], ALL))


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"init_times": [INIT], "variables": ["temprature_2m"]}, "did you mean temperature_2m"),
        ({"start": INIT}, "give init_times, or both start and end"),
        ({"init_times": [datetime(2013, 1, 1)]}, "no file would be written: 1 runs"),
        ({"init_times": [INIT], "lead_hours": [49]}, "no file would be written"),
    ],
)
def test_an_invalid_request_is_an_error(tmp_path, request_, text):
    with pytest.raises(ConfigError, match=text):
        write_archive(tmp_path, **request_)


def test_writing_again_writes_the_same_bytes(archive, tmp_path):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    write_archive(tmp_path, init_times=[INIT], lead_hours=[1, 5], window=archive.window)
    assert {path: path.read_bytes() for path in before} == before


def test_cfgrib_opens_a_file_with_all_variables(archive):
    file = archive.files[1]
    datasets = cfgrib.open_datasets(archive.path(file), backend_kwargs={"indexpath": ""})
    seen = {name for dataset in datasets for name in dataset.data_vars}
    assert {"t2m", "d2m", "r2", "u10", "v10", "u", "v", "sp", "fsr", "tp", "gust", "blh", "refc", "t", "pt"} <= seen
    temperature = next(dataset["t2m"] for dataset in datasets if "t2m" in dataset)
    assert np.array_equal(temperature.values, archive.expected("temperature_2m", file))
    assert temperature.valid_time.values == np.datetime64(file.valid_time)
    for dataset in datasets:
        dataset.close()


# Damage


def identities(archive, file):
    keys = ("discipline", "parameterCategory", "parameterNumber", "level", "stepRange")
    return [decode(message, *keys)[1] for message in iterate_messages(archive.path(file).read_bytes())]


def test_inventories_can_be_removed(archive, tmp_path):
    remove_inventories(archive)
    assert not list(tmp_path.rglob("*.idx"))
    assert len(list(tmp_path.rglob("*.grib2"))) == 2


def test_a_file_can_be_deleted_or_truncated(archive):
    first, second = archive.files
    delete(archive, first)
    assert not archive.path(first).exists()
    assert not archive.inventory_path(first).exists()
    truncate(archive, second, 1000)
    assert archive.path(second).stat().st_size == 1000
    with pytest.raises(ConfigError, match="it has 1000: give fewer"):
        truncate(archive, second, 1000)


@pytest.mark.parametrize("variable", ["precipitation_1h", "u_component_wind_80m", "composite_reflectivity"])
def test_a_message_can_be_dropped(archive, variable):
    file = archive.files[1]
    before, lines = identities(archive, file), archive.inventory_path(file).read_text().splitlines()
    position = [message.name for message in messages_of(file, ALL)].index(variable)
    drop_message(archive, file, variable)
    assert identities(archive, file) == before[:position] + before[position + 1 :]
    kept = [line.split(":", 2)[2] for line in lines[:position] + lines[position + 1 :]]
    after = [line.split(":", 2) for line in archive.inventory_path(file).read_text().splitlines()]
    assert [line[2] for line in after] == kept
    sizes = [len(message) for message in iterate_messages(archive.path(file).read_bytes())]
    assert [int(line[1]) for line in after] == [sum(sizes[:at]) for at in range(len(sizes))]
    with pytest.raises(ConfigError, match="no message"):
        drop_message(archive, file, variable)


def test_hourly_precipitation_can_be_dropped_at_lead_hour_1_where_it_is_that_of_the_run(archive):
    drop_message(archive, archive.files[0], "precipitation_1h")
    assert "APCP" not in archive.inventory_path(archive.files[0]).read_text()


def test_several_messages_can_be_dropped_without_inventories(archive):
    file = archive.files[1]
    count = len(identities(archive, file))
    remove_inventories(archive)
    drop_message(archive, file, "temperature_2m")
    drop_message(archive, file, "surface_pressure")
    assert len(identities(archive, file)) == count - 2


def test_an_inventory_can_be_replaced_by_one_of_another_run(archive):
    file = archive.files[0]
    before = archive.inventory_path(file).read_text()
    stale_inventory(archive, file)
    after = archive.inventory_path(file).read_text()
    assert "d=2024010106:" in after
    assert "d=2024010112:" not in after
    assert len(after.splitlines()) == len(before.splitlines())


# S3


def test_an_archive_can_be_uploaded_to_a_loopback_s3(archive, tmp_path):
    with loopback_s3() as s3:
        assert s3.environment()["AWS_ENDPOINT_URL"] == s3.endpoint
        s3.create_bucket("noaa")
        keys = s3.upload(tmp_path, "noaa", "mirror/")
        assert keys[0] == "mirror/hrrr.20240101/conus/hrrr.t12z.wrfsfcf01.grib2"
        assert len(keys) == 4
        body = s3.client().get_object(Bucket="noaa", Key=keys[0], Range="bytes=0-3")["Body"]
        assert body.read() == b"GRIB"
        body.close()


def test_a_second_loopback_s3_starts_empty():
    for _ in range(2):
        with loopback_s3() as s3:
            assert s3.client().list_buckets()["Buckets"] == []
            s3.create_bucket("once")


def test_a_missing_moto_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "moto.server", None)
    with pytest.raises(ConfigError, match=r"pip install hrrr-dask\[test\]"), loopback_s3():
        pass


@pytest.mark.parametrize(("product_", "old_names"), [("sfc", False), ("subh", False), ("subh", True)])
def test_files_are_dated_as_noaa_publishes_them(tmp_path, product_, old_names):
    archive = write_archive(
        tmp_path, init_times=[datetime(2018, 1, 1, 12)], lead_hours=[0, 1, 18], product=product_, old_names=old_names
    )
    for file, minutes in zip(archive.files, (51, 53, 86), strict=True):
        moment = datetime(2018, 1, 1, 12) + timedelta(minutes=minutes)
        assert published_at(file) == moment
        for leads in archive.objects(file):
            for path in (archive.path(file, leads[-1]), archive.inventory_path(file, leads[-1])):
                assert datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None) == moment


def test_a_file_that_is_cut_keeps_its_date(tmp_path):
    archive = write_archive(tmp_path, init_times=[INIT], lead_hours=[0], variables=["temperature_2m"])
    truncate(archive, archive.files[0], 100)
    assert (
        archive.path(archive.files[0]).stat().st_mtime == published_at(archive.files[0]).replace(tzinfo=UTC).timestamp()
    )
