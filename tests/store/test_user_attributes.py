"""What others have written into a store's attributes stays, and nothing else of theirs does."""

from __future__ import annotations

import json

import pytest
from support.specs import NAMES, as_created, make_points, make_spec

from hrrr_dask.store.spec import Growth, apply_growth
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.store.user_attributes import keep_user_attributes

ARRAY = f"{NAMES[0]}/zarr.json"
BEFORE = as_created(make_spec())
AFTER = apply_growth(BEFORE, Growth(n_days=9, points=make_points([5])).step_from(BEFORE), 1)
OLD, NEW = build_template(BEFORE), build_template(AFTER)


def told(key: str, *, indent: int | None = None, **attributes: object) -> bytes:
    """The old document with some more attributes, formatted in a way of one's own."""
    document = json.loads(OLD[key])
    document["attributes"] |= attributes
    return json.dumps(document, indent=indent).encode()


def attributes_of(documents: dict[str, bytes], key: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(documents[key])["attributes"]
    return found


@pytest.mark.parametrize("there", [{}, OLD, NEW])
def test_where_nobody_added_any_the_bytes_are_those_of_the_template(there):
    kept = keep_user_attributes(NEW, there)
    assert kept == NEW
    assert list(kept) == list(NEW), "the root stays last"


@pytest.mark.parametrize("key", [ARRAY, "init_time/zarr.json", "crs/zarr.json", "status/zarr.json"])
def test_an_array_keeps_them_in_its_document_and_in_the_roots_copy(key):
    kept = keep_user_attributes(NEW, {**OLD, key: told(key, quality="A", limits=[1, 2.5], who={"name": "Süd"})})
    added = {"quality": "A", "limits": [1, 2.5], "who": {"name": "Süd"}}
    assert attributes_of(kept, key) == attributes_of(NEW, key) | added
    assert {name for name in kept if kept[name] != NEW[name]} == {key, ROOT_KEY}
    document, plain = json.loads(kept[key]), json.loads(NEW[key])
    assert {**document, "attributes": 0} == {**plain, "attributes": 0}, "the shape is the new one"
    root, plain_root = json.loads(kept[ROOT_KEY]), json.loads(NEW[ROOT_KEY])
    assert root["consolidated_metadata"]["metadata"].pop(key.removesuffix("/zarr.json")) == document
    plain_root["consolidated_metadata"]["metadata"].pop(key.removesuffix("/zarr.json"))
    assert root == plain_root


def test_the_group_keeps_them():
    kept = keep_user_attributes(NEW, {**OLD, ROOT_KEY: told(ROOT_KEY, comment="for the thesis")})
    assert attributes_of(kept, ROOT_KEY) == attributes_of(NEW, ROOT_KEY) | {"comment": "for the thesis"}


@pytest.mark.parametrize(("key", "name"), [(ARRAY, "units"), (ROOT_KEY, "title"), (ROOT_KEY, "hrrr_dask")])
def test_what_is_ours_has_our_value(key, name):
    assert keep_user_attributes(NEW, {**OLD, key: told(key, **{name: "theirs"})}) == NEW


def test_once_taken_over_they_make_no_difference_any_more():
    once = keep_user_attributes(NEW, {**OLD, ARRAY: told(ARRAY, quality="A"), ROOT_KEY: told(ROOT_KEY, comment="mine")})
    assert keep_user_attributes(NEW, once) == once
    again = keep_user_attributes(OLD, once)
    assert keep_user_attributes(NEW, again) == once


def test_what_somebody_took_away_again_does_not_come_back_from_the_roots_copy():
    once = keep_user_attributes(NEW, {**OLD, ARRAY: told(ARRAY, quality="A")})
    assert keep_user_attributes(NEW, {**once, ARRAY: NEW[ARRAY]}) == NEW


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"{}", b'{"attributes": 5}', b"\xff\xfe{"])
def test_a_damaged_document_has_none(damaged):
    assert keep_user_attributes(NEW, {**OLD, ARRAY: damaged}) == NEW
