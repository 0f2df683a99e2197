"""Fingerprints of days: equal for equal states, however they came about, and different after any change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from support.specs import AXIS, LAYOUT, NAMES, SELECTION, attempt, make_points, outcome

from hrrr_dask.ledger.rows import decode_entry, encode_entry
from hrrr_dask.records import Origin
from hrrr_dask.tables.ledger_days import collect_days
from hrrr_dask.tables.schema import TableSpec

POINTS = make_points(range(5))
SPEC = TableSpec(
    store_url="",
    store_options=(),
    shape="long",
    with_gaps=False,
    variables=NAMES,
    units=("K", "kg m-2"),
    lead_minutes=SELECTION.lead_minutes,
    axis=AXIS,
    layout=LAYOUT,
    documents={},
    point_id=POINTS.point_id,
    latitude=POINTS.latitude,
    longitude=POINTS.longitude,
)
ONE = outcome(0, 1, origin=Origin(source="a"), checksums={"temperature_2m": 7, "precipitation_1h": 8})
OTHER = outcome(1, 1, origin=Origin(source="b"))


def table_of(*outcomes, second=0):
    return decode_entry(encode_entry(outcomes, attempt(second=second)))


def days_of(*tables, spec=SPEC, positions=(0, 1)):
    return collect_days(tables, spec, SELECTION, slice(0, 8), positions)


def fingerprint(*tables, **options):
    (day,) = days_of(*tables, **options)
    return day.fingerprint


USUAL = fingerprint(table_of(ONE, OTHER))


@pytest.mark.parametrize(
    "tables",
    [
        [table_of(OTHER, ONE)],
        [table_of(OTHER), table_of(ONE)],
        [table_of(ONE), table_of(ONE, OTHER, second=1)],
        [table_of(replace(ONE, reasons={"temperature_2m": "truncated"})), table_of(ONE, OTHER, second=1)],
        [table_of(replace(ONE, origin=Origin(source="z"))), table_of(ONE, OTHER, second=1)],
        [table_of(ONE, OTHER, outcome(9, 1))],
    ],
    ids=["order", "entries", "twice", "healed", "read again from another source", "another day"],
)
def test_the_same_state_has_the_same_fingerprint(tables):
    assert days_of(*tables)[0].fingerprint == USUAL


@pytest.mark.parametrize(
    "tables",
    [
        [table_of(ONE)],
        [table_of(ONE, OTHER, outcome(1, 0, wanted=NAMES[:1]))],
        [table_of(replace(ONE, origin=Origin(source="z")), OTHER)],
        [table_of(replace(ONE, checksums={"temperature_2m": 9, "precipitation_1h": 8}), OTHER)],
        [table_of(replace(ONE, n_points=4), OTHER)],
        [table_of(replace(ONE, reasons={"temperature_2m": "truncated"}), OTHER)],
    ],
    ids=["less", "more", "source", "values", "points", "gap"],
)
def test_another_state_has_another_fingerprint(tables):
    assert fingerprint(*tables) != USUAL


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, shape="wide"),
        replace(SPEC, with_gaps=True),
        replace(SPEC, units=("K", "mm")),
        replace(SPEC, latitude=SPEC.latitude + 1),
        replace(SPEC, point_id=("other", *SPEC.point_id[1:])),
    ],
    ids=["layout", "gaps", "units", "moved", "renamed"],
)
def test_another_table_has_another_fingerprint(spec):
    assert fingerprint(table_of(ONE, OTHER), spec=spec) != USUAL


def test_points_and_variables_that_a_day_does_not_have_do_not_matter():
    more = make_points(range(7))
    grown = replace(SPEC, point_id=more.point_id, latitude=more.latitude, longitude=more.longitude)
    assert fingerprint(table_of(ONE, OTHER), spec=grown) == USUAL
    only = replace(ONE, wanted=NAMES[1:]), replace(OTHER, wanted=NAMES[1:])
    alone = replace(SPEC, variables=NAMES[1:], units=SPEC.units[1:])
    assert fingerprint(table_of(*only)) == fingerprint(table_of(*only), spec=alone, positions=(1,))


def test_rows_of_a_day_without_values_are_none():
    gap = replace(ONE, wanted=NAMES[:1], reasons={"temperature_2m": "not-published"})
    assert days_of(table_of(gap)) == []
    (day,) = days_of(table_of(gap), spec=replace(SPEC, with_gaps=True))
    assert (day.day, len(day.code)) == (AXIS.first_day.date(), 1)
    assert days_of() == []


def test_an_empty_source_and_a_null_are_the_same():
    table = table_of(replace(ONE, origin=Origin()))
    at = table.schema.get_field_index("source")
    nulls = pa.nulls(table.num_rows, table.schema.field("source").type)
    assert fingerprint(table) == fingerprint(table.set_column(at, table.schema.field("source"), nulls))


def test_sources_are_those_of_the_rows():
    (day,) = days_of(table_of(ONE, OTHER))
    found = {(c, s) for c, s in zip(day.cycle, np.array(day.sources)[day.source], strict=True)}
    assert found == {(0, "a"), (1, "b")}
