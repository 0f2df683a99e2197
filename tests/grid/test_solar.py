"""Solar zenith angle, checked against published positions."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hrrr_dask.grid.solar import cos_zenith


def zenith(*arguments):
    return float(np.degrees(np.arccos(cos_zenith(*arguments))))


@pytest.mark.parametrize(
    ("time", "latitude", "longitude", "wanted"),
    [
        (datetime(2003, 10, 17, 19, 30, 30), 39.742476, -105.1786, 50.128),  # Reda and Andreas (2004), Solar Energy 76
        (datetime(2024, 3, 20, 12, 7), 0.0, 0.0, 0.172),  # 9 hours after the equinox, 21 seconds before noon
        (datetime(2024, 6, 20, 12, 2), 90.0, 0.0, 90 - 23.44),  # solstice; at the pole the hour does not matter
        (datetime(2024, 12, 21, 18, 0), -90.0, 0.0, 90 - 23.44),
        (datetime(2025, 3, 20, 9, 1), 90.0, 0.0, 90.0),  # equinox to the minute
        (datetime(2024, 9, 22, 12, 44), 90.0, 0.0, 90.0),
        (datetime(2024, 6, 20, 20, 51), 23.44, -132.32, 0.0),  # solstice to the minute; the sun is 1.7 minutes late
    ],
)
def test_zenith_angles_agree_with_almanacs(time, latitude, longitude, wanted):
    assert zenith(time, latitude, longitude) == pytest.approx(wanted, abs=0.02)


def test_longitudes_may_be_given_from_0_to_360():
    time = datetime(2024, 5, 1, 15)
    assert zenith(time, 40, -100) == pytest.approx(zenith(time, 40, 260), abs=1e-9)


def test_times_and_coordinates_broadcast():
    times = np.array(["2024-01-01T00", "2023-12-31T23"], "datetime64[ns]")
    found = cos_zenith(times[:, None], [30.0, 40.0, 50.0], -100.0)
    assert found.shape == (2, 3)
    assert found[0, 1] == pytest.approx(cos_zenith(datetime(2024, 1, 1), 40.0, -100.0))
    assert np.abs(np.diff(found[:, 1])) < 0.2, "no jump at new year"
