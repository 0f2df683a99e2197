"""The nouns: what they refuse, and what they call themselves."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta

import pytest
from support.outcomes import hourly_outcome

from hrrr_dask.records import ByteRange, GribFile, Partition, Reading, Window

FILE = GribFile(datetime(2024, 1, 1, 18), 30)


def test_a_file_holds_from_its_init_time_plus_lead_time():
    assert FILE.lead_time == timedelta(hours=30)
    assert FILE.valid_time == datetime(2024, 1, 3)
    assert FILE.label == "20240101T18-f30"


def test_files_sort_by_run_then_lead_time():
    files = [GribFile(datetime(2024, 1, 1, hour), lead) for hour in (6, 0) for lead in (12, 3)]
    assert [file.label for file in sorted(files)] == [
        "20240101T00-f03",
        "20240101T00-f12",
        "20240101T06-f03",
        "20240101T06-f12",
    ]


def test_a_noun_does_not_change_and_travels():
    with pytest.raises(FrozenInstanceError):
        FILE.lead_hours = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(FILE)) == FILE
    assert len({FILE, pickle.loads(pickle.dumps(FILE))}) == 1


def test_a_byte_range_knows_its_size_unless_its_end_is_open():
    assert ByteRange(3, 10).size == 7
    assert ByteRange(3, None).size is None


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (-1, None)])
def test_an_empty_or_negative_byte_range_is_refused(start, stop):
    with pytest.raises(ValueError, match="a byte range runs from 0"):
        ByteRange(start, stop)


def test_an_instant_has_no_length():
    assert Window("instant", 60, 60).stop == 60
    with pytest.raises(ValueError, match="starts where it stops"):
        Window("instant", 0, 60)


def test_a_window_does_not_run_backwards_but_may_be_empty():
    assert Window("acc", 0, 0).start == 0
    with pytest.raises(ValueError, match="starts before it stops"):
        Window("acc", 120, 60)


def test_a_partition_is_called_after_its_first_day_and_its_step():
    reading = Reading.of(FILE, ("t",))
    assert Partition(3, (reading,)).label == "20240101"
    assert Partition(3, (reading,), 2).label == "20240101-2"
    assert Partition(3, ()).label == "part3"
    assert Partition(3, (), 1).label == "part3-1"


def test_readings_sort_by_their_files():
    readings = [Reading.of(GribFile(datetime(2024, 1, 1, hour), lead), ("t",)) for hour in (6, 0) for lead in (12, 3)]
    assert [reading.file for reading in sorted(readings)] == sorted(reading.file for reading in readings)


def test_a_reading_and_its_outcome_begin_with_the_first_point_unless_told():
    assert Reading.of(FILE, ("t",)).first_point == 0
    assert (hourly_outcome(FILE, ("t",), {}).first_point, hourly_outcome(FILE, ("t",), {}).n_points) == (0, 0)


def test_outcomes_do_not_share_their_details():
    first, second = hourly_outcome(FILE, ("temperature_2m",), {}), hourly_outcome(FILE, ("temperature_2m",), {})
    first.details["temperature_2m"] = "cut off"
    assert second.details == {}
