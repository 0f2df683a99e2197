"""Last lead times at the first and last runs of each model version, and object keys."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from hrrr_dask.catalog.products import (
    ARCHIVE_START,
    DOMAINS,
    ERAS,
    PRODUCTS,
    inventory_key,
    last_lead_hour,
    object_key,
    old_object_key,
)
from hrrr_dask.records import GribFile


@pytest.mark.parametrize(
    ("domain", "init_time", "last"),
    [
        ("conus", datetime(2014, 7, 29, 23), None),
        ("conus", datetime(2014, 7, 30, 0), 15),
        ("conus", datetime(2016, 8, 23, 11), 15),
        ("conus", datetime(2016, 8, 23, 12), 18),
        ("conus", datetime(2016, 8, 23, 18), 18),
        ("conus", datetime(2018, 7, 12, 6), 18),
        ("conus", datetime(2018, 7, 12, 11), 18),
        ("conus", datetime(2018, 7, 12, 12), 36),
        ("conus", datetime(2018, 7, 12, 13), 18),
        ("conus", datetime(2018, 7, 13, 0), 36),
        ("conus", datetime(2020, 12, 2, 6), 36),
        ("conus", datetime(2020, 12, 2, 11), 18),
        ("conus", datetime(2020, 12, 2, 12), 48),
        ("conus", datetime(2020, 12, 2, 13), 18),
        ("conus", datetime(2020, 12, 2, 18), 48),
        ("conus", datetime(2024, 1, 1, 23), 18),
        ("alaska", datetime(2018, 7, 12, 9), None),
        ("alaska", datetime(2018, 7, 12, 12), 36),
        ("alaska", datetime(2018, 7, 12, 15), 18),
        ("alaska", datetime(2020, 12, 2, 6), 36),
        ("alaska", datetime(2020, 12, 2, 12), 48),
        ("alaska", datetime(2020, 12, 2, 15), 18),
    ],
)
def test_last_lead_hour_by_model_version(domain, init_time, last):
    assert last_lead_hour(init_time, domain=domain) == last


@pytest.mark.parametrize("product", ["prs", "nat"])
def test_hourly_products_have_the_same_last_lead_hour(product):
    for init_time in (datetime(2018, 7, 12, 6), datetime(2018, 7, 12, 12), datetime(2024, 1, 1, 6)):
        assert last_lead_hour(init_time, product) == last_lead_hour(init_time, "sfc")


@pytest.mark.parametrize(
    ("init_time", "last"),
    [(datetime(2016, 8, 23, 11), 15), (datetime(2024, 1, 1, 6), 18), (datetime(2024, 1, 1, 7), 18)],
)
def test_the_subhourly_product_stops_at_18_hours(init_time, last):
    assert last_lead_hour(init_time, "subh") == last


def test_alaska_has_a_run_every_three_hours():
    runs = [hour for hour in range(24) if last_lead_hour(datetime(2024, 1, 1, hour), domain="alaska") is not None]
    assert runs == list(range(0, 24, 3))


def test_a_day_of_v4_has_576_surface_files():
    day = datetime(2024, 1, 1)
    lead_hours = [last_lead_hour(day + timedelta(hours=hour)) for hour in range(24)]
    assert sum(last + 1 for last in lead_hours if last is not None) == 576


def test_eras_are_in_ascending_order():
    for domain, eras in ERAS.items():
        starts = [era.start for era in eras]
        assert starts == sorted(starts)
        assert domain in DOMAINS
    assert ERAS["conus"][0].start == ARCHIVE_START


@pytest.mark.parametrize(
    ("file", "key"),
    [
        (GribFile(datetime(2024, 1, 1, 6), 5), "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2"),
        (GribFile(datetime(2024, 12, 31, 23), 0, "prs"), "hrrr.20241231/conus/hrrr.t23z.wrfprsf00.grib2"),
        (GribFile(datetime(2024, 1, 1, 0), 48, "nat"), "hrrr.20240101/conus/hrrr.t00z.wrfnatf48.grib2"),
        (GribFile(datetime(2024, 1, 1, 3), 18, "subh"), "hrrr.20240101/conus/hrrr.t03z.wrfsubhf18.grib2"),
        (
            GribFile(datetime(2024, 1, 1, 6), 5, domain="alaska"),
            "hrrr.20240101/alaska/hrrr.t06z.wrfsfcf05.ak.grib2",
        ),
    ],
)
def test_keys_match_the_bucket(file, key):
    assert file.product in PRODUCTS
    assert object_key(file) == key
    assert inventory_key(file) == f"{key}.idx"


@pytest.mark.parametrize(
    ("hour", "lead_minutes", "name"),
    [(0, 0, "f0000"), (1, 15, "f0015"), (1, 45, "f0045"), (1, 60, "f0100"), (15, 885, "f1445"), (15, 900, "f1500")],
)
def test_old_keys_have_hours_and_minutes(hour, lead_minutes, name):
    file = GribFile(datetime(2017, 1, 1, 6), hour, "subh")
    assert old_object_key(file, lead_minutes) == f"hrrr.20170101/conus/hrrr.t06z.wrfsubh{name}.grib2"
