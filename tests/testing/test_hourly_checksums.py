"""The hourly archive is what it was: stored checksums of its fields, headers and inventory lines."""

from __future__ import annotations

from datetime import datetime
from itertools import product

import google_crc32c
import pytest

from hrrr_dask.records import GribFile
from hrrr_dask.testing import DEFAULT_WINDOW, GridWindow, encode_file, expected_field
from hrrr_dask.testing.archive import STATIC
from hrrr_dask.testing.messages import MESSAGES

WINDOWS = (DEFAULT_WINDOW, GridWindow(0, 1700, 9, 99), GridWindow(400, 600, 8, 9, "alaska"))

FILES = (
    *product((datetime(2015, 5, 1, hour) for hour in (0, 7, 18)), (0, 1, 5, 15)),
    *product((datetime(2024, 7, 3, hour) for hour in range(0, 24, 5)), (0, 1, 2, 24, 48)),
)

FIELDS = {
    "composite_reflectivity": 0x54DA93DE,
    "lightning_threat": 0x5980F2FF,
    "wind_gust_surface": 0x70AF70F2,
    "temperature_500mb": 0xC14B3183,
    "u_component_wind_500mb": 0x9302CE5A,
    "v_component_wind_500mb": 0x51F7A850,
    "u_component_wind_80m": 0xF06AE7B9,
    "v_component_wind_80m": 0x74C51AAD,
    "surface_pressure": 0x40AD8C27,
    "temperature_surface": 0x768E1D5E,
    "temperature_2m": 0x4E5EAC70,
    "potential_temperature_2m": 0x7096A069,
    "dewpoint_2m": 0x36CEDE58,
    "relative_humidity_2m": 0x9DC237FB,
    "u_component_wind_10m": 0x0C36CD0E,
    "v_component_wind_10m": 0x0C633D09,
    "wind_speed_10m_max": 0xD93EFEA1,
    "precipitation_run": 0xE1302FBC,
    "precipitation_1h": 0xD201C94D,
    "surface_roughness": 0xF15E7396,
    "boundary_layer_cloud_cover": 0x12D64A14,
    "total_cloud_cover": 0x9296CAF3,
    "downward_shortwave_flux": 0xABCF5634,
    "visible_beam_downward_solar_flux": 0x6653C062,
    "visible_diffuse_downward_solar_flux": 0xFAB6DE4F,
    "boundary_layer_height": 0xDCB9187D,
}
"""Variable to the CRC-32C of its fields in FILES and WINDOWS, as little-endian float32."""

HEADERS = {
    (datetime(2015, 5, 1, 18), 3, "conus"): (0xA1581DC8, 0xCE75DB9F),
    (datetime(2015, 5, 1, 18), 3, "alaska"): (0x6932CA48, 0xCE75DB9F),
    (datetime(2024, 7, 3, 18), 0, "conus"): (0x6ECBB6FF, 0xDDFFB309),
    (datetime(2024, 7, 3, 18), 0, "alaska"): (0xB6FFBD4D, 0xDDFFB309),
    (datetime(2024, 7, 3, 18), 1, "conus"): (0x4B2F9F15, 0xD40327CB),
    (datetime(2024, 7, 3, 18), 1, "alaska"): (0xCD95DFAA, 0xD40327CB),
    (datetime(2024, 7, 3, 18), 5, "conus"): (0x73B2B9D1, 0xC813DC8E),
    (datetime(2024, 7, 3, 18), 5, "alaska"): (0x454614AA, 0xC813DC8E),
    (datetime(2024, 7, 3, 18), 24, "conus"): (0x0877ECA2, 0x02048715),
    (datetime(2024, 7, 3, 18), 24, "alaska"): (0x25134630, 0x02048715),
    (datetime(2024, 7, 3, 0), 48, "conus"): (0xBF41DDA2, 0xD2540677),
    (datetime(2024, 7, 3, 0), 48, "alaska"): (0x8D368F10, 0xD2540677),
}
"""Init time, lead hour and domain to the CRC-32C of sections 0 (without the length), 1, 3 and 4 of all messages, and of
the inventory without numbers and offsets: packed values may depend on ecCodes' version."""


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_whole_hours_have_the_stored_checksums(name):
    found = 0
    for (init_time, lead_hours), window in product(FILES, WINDOWS):
        field = expected_field(name, init_time, 60 * lead_hours, window)
        found = google_crc32c.extend(found, field.astype("<f4").tobytes())
    assert found == FIELDS[name]


@pytest.mark.parametrize(("init_time", "lead_hours", "domain"), HEADERS)
def test_headers_and_inventories_of_hourly_files_have_the_stored_checksums(init_time, lead_hours, domain):
    (window,) = (window for window in WINDOWS[::2] if window.domain == domain)
    content, inventory = encode_file(GribFile(init_time, lead_hours, domain=domain), window, FIELDS)
    texts = "".join(line.split(":", 2)[2] + "\n" for line in inventory.splitlines())
    checksums = (google_crc32c.value(headers(content)), google_crc32c.value(texts.encode()))
    assert checksums == HEADERS[init_time, lead_hours, domain]


def headers(content):
    """Return the headers of all messages of a file."""
    found = b""
    while content:
        found, at = found + content[:8], 16
        while content[at : at + 4] != b"7777":
            stop = at + int.from_bytes(content[at : at + 4], "big")
            found += content[at:stop] * (content[at + 4] in (1, 3, 4))
            at = stop
        content = content[at + 4 :]
    return found


def test_the_checksums_are_of_all_variables():
    assert set(FIELDS) == set(MESSAGES) - set(STATIC)
