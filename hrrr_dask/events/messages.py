"""Parses messages of a queue into the files of HRRR that they name. Pure.

A message is an S3 event, or an SNS notification that has one as text, as NOAA's topic ``NewHRRRObject`` sends it
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html). S3 sends an
``s3:TestEvent`` without records when notifications are set up.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_plus

from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.records import GribFile

__all__ = ["NewObject", "UnreadableMessageError", "parse_key", "parse_message"]

_KEY: Final = re.compile(
    r"(?:.*/)?(?P<key>hrrr\.(?P<day>\d{8})/(?P<domain>[a-z]+)/"
    r"hrrr\.t(?P<hour>\d{2})z\.wrf(?P<product>[a-z]+)f(?P<lead>\d{2})(?:\.ak)?\.grib2(?:\.idx)?)"
)


class UnreadableMessageError(ValueError):
    """The message is not an event of S3."""


@dataclass(frozen=True, slots=True)
class NewObject:
    """An object of the archive that a message names."""

    file: GribFile
    """The file."""
    is_inventory: bool
    """Whether the object is the inventory of the file, which does not prove that the file is there."""


def parse_message(body: str) -> tuple[NewObject, ...]:
    """Return the objects of HRRR that a message says are new.

    Parameters
    ----------
    body : str
        Body of the message: an S3 event, or an SNS notification that has one.

    Returns
    -------
    tuple of NewObject
        Empty for a test event, removed objects, and objects of other names.

    Raises
    ------
    UnreadableMessageError
        If the body is something else.

    Examples
    --------
    >>> record = '{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "%s"}}}'
    >>> (new,) = parse_message('{"Records": [' + record % "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2" + ']}')
    >>> new.file.label, new.is_inventory
    ('20240101T06-f05', False)
    """
    event = _as_object(body)
    if isinstance(event.get("Message"), str):
        event = _as_object(event["Message"])
    if event.get("Event") == "s3:TestEvent":
        return ()
    records = event.get("Records")
    if not isinstance(records, list):
        raise UnreadableMessageError("it is neither an event of S3 nor a notification of SNS with one")
    return tuple(new for record in records if (new := _parse_record(record)) is not None)


def _as_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnreadableMessageError(f"it is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableMessageError("it is JSON, but not an object")
    return found


def _parse_record(record: Any) -> NewObject | None:
    try:
        name, key = record["eventName"], record["s3"]["object"]["key"]
        created = name.removeprefix("s3:").startswith("ObjectCreated:")
        return parse_key(unquote_plus(key)) if created else None
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableMessageError(f"a record has no eventName or s3.object.key: {error!r}") from error


def parse_key(key: str) -> NewObject | None:
    """Return the file that a key of NOAA's bucket, or of a copy below a prefix, names; None for other names.

    Examples
    --------
    >>> parse_key("hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2.idx").is_inventory
    True
    >>> parse_key("hrrr.20240101/conus/hrrr.t06z.bufrsnd.tar.gz") is None
    True
    """
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    try:
        init_time = datetime.strptime(match["day"] + match["hour"], "%Y%m%d%H")
    except ValueError:
        return None
    file = GribFile(init_time, int(match["lead"]), match["product"], match["domain"])
    try:
        keys = object_key(file), inventory_key(file)
    except KeyError:  # a domain that is not in the catalogue
        return None
    return NewObject(file, match["key"] == keys[1]) if match["key"] in keys else None
