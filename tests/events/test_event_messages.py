"""Messages of S3 and SNS give the files of HRRR that they name, and nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.queues import s3_event

from hrrr_dask.catalog.products import DOMAINS, PRODUCTS, inventory_key, object_key
from hrrr_dask.events.messages import NewObject, UnreadableMessageError, parse_key, parse_message
from hrrr_dask.records import GribFile

FILE = GribFile(datetime(2024, 1, 1, 6), 5)
KEY = "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2"


def notification(event: str) -> str:
    """An envelope of SNS."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "d0be6c2c-1f8a-5e44-9d2a-3f2fbf7c0b5e",
            "TopicArn": "arn:aws:sns:us-east-1:123901341784:NewHRRRObject",
            "Subject": "Amazon S3 Notification",
            "Message": event,
            "Timestamp": "2024-01-01T06:57:13.002Z",
        }
    )


@pytest.mark.parametrize("wrap", [str, notification])
def test_an_event_names_its_file_directly_and_in_an_envelope(wrap):
    assert parse_message(wrap(s3_event(KEY))) == (NewObject(FILE, is_inventory=False),)
    assert parse_message(wrap(s3_event(f"{KEY}.idx"))) == (NewObject(FILE, is_inventory=True),)


def test_keys_are_percent_encoded_in_every_way():
    plain = s3_event(KEY)
    for spelling in (KEY, KEY.replace("/", "%2F"), KEY.replace(".", "%2e")):
        body = plain.replace(KEY.replace("/", "%2F"), spelling)
        assert spelling in body
        assert parse_message(body) == (NewObject(FILE, is_inventory=False),)


@given(
    st.datetimes(datetime(2014, 7, 30), datetime(2030, 1, 1)),
    st.integers(0, 48),
    st.sampled_from(sorted(PRODUCTS)),
    st.sampled_from(sorted(DOMAINS)),
    st.sampled_from(["", "mirror/", "a b/hrrr.20200101/"]),
)
def test_every_key_of_the_catalogue_is_found(moment, lead, product, domain, prefix):
    file = GribFile(moment.replace(minute=0, second=0, microsecond=0), lead, product, domain)
    assert parse_key(prefix + object_key(file)) == NewObject(file, is_inventory=False)
    assert parse_key(prefix + inventory_key(file)) == NewObject(file, is_inventory=True)


@pytest.mark.parametrize(
    "key",
    [
        "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2.idx.tmp",
        "hrrr.20240101/alaska/hrrr.t06z.wrfsfcf05.grib2",
        "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.ak.grib2",
        "hrrr.20240101/hawaii/hrrr.t06z.wrfsfcf05.grib2",
        "hrrr.20240101/conus/hrrr.t25z.wrfsfcf05.grib2",
        "hrrr.20241301/conus/hrrr.t06z.wrfsfcf05.grib2",
        "hrrr.20240101/conus/hrrr.t06z.class1.bufr.tm00",
        "hrrr.20240101/conus/hrrr.t06z.wrfxyzf05.grib2",
        "index.html",
        "",
    ],
)
def test_other_keys_name_nothing(key):
    found = parse_key(key)
    assert found is None or found.file.product not in PRODUCTS
    assert parse_message(s3_event(key)) == (() if found is None else (found,))


def test_test_events_and_removed_objects_name_nothing():
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "noaa-hrrr-bdp-pds"}
    assert parse_message(json.dumps(test)) == parse_message(notification(json.dumps(test))) == ()
    assert parse_message(s3_event(KEY, name="ObjectRemoved:Delete")) == ()
    assert len(parse_message(s3_event(KEY, name="ObjectCreated:CompleteMultipartUpload"))) == 1


@pytest.mark.parametrize(
    "body", ["", "hello", "[]", "3", "{}", '{"Records": 3}', '{"Records": [{}]}', '{"Message": "hello"}', "{" * 5000]
)
def test_anything_else_is_an_error(body):
    with pytest.raises(UnreadableMessageError):
        parse_message(body)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Records", "Message", "s3", "object", "key", "eventName", "Event"]), inner
            )
        ),
    )
)
def test_any_json_is_parsed_or_refused(found):
    with suppress(UnreadableMessageError):
        parse_message(json.dumps(found))
