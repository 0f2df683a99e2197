"""Whole shards to objects and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from zarr.storage import MemoryStore

from hrrr_dask.shards import decode_array, encode_array

SHARDS = (4, 2, 6)
CHUNKS = (4, 2, 3)


def new_array(shape=(12, 2, 11)) -> tuple[zarr.Array, dict]:
    objects: dict = {}
    array = zarr.create_array(
        MemoryStore(objects), shape=shape, chunks=CHUNKS, shards=SHARDS, dtype="float32", fill_value=np.nan
    )
    return array, objects


DOCUMENT = new_array()[1]["zarr.json"].to_bytes()
SLABS = npst.arrays(np.float32, (4, 2, 12), elements=st.one_of(st.just(np.nan), st.floats(-100, 100, width=32)))


@settings(max_examples=40, deadline=None)
@given(SLABS)
def test_decoding_undoes_encoding(values):
    encoded = encode_array(DOCUMENT, values, (0, 0, 0))
    again = decode_array(DOCUMENT, encoded, values.shape)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, values)


def test_zarr_reads_what_was_encoded_where_it_belongs():
    array, objects = new_array()
    make = type(objects["zarr.json"]).from_bytes
    values = np.arange(4 * 2 * 12, dtype=np.float32).reshape(4, 2, 12)
    for key, data in encode_array(DOCUMENT, values, (8, 0, 0)).items():
        objects[key] = make(data)
    np.testing.assert_array_equal(array[8:], values[:, :, :11])
    assert np.isnan(array[:8]).all()


def test_zarr_would_write_the_same_bytes():
    array, objects = new_array((4, 2, 6))
    values = np.arange(48, dtype=np.float32).reshape(4, 2, 6)
    array[...] = values
    assert encode_array(DOCUMENT, values, (0, 0, 0)) == {"c/0/0/0": objects["c/0/0/0"].to_bytes()}


def test_objects_are_named_by_the_place_of_their_shard():
    values = np.ones((8, 2, 12), dtype=np.float32)
    assert list(encode_array(DOCUMENT, values, (4, 0, 6))) == ["c/1/0/1", "c/1/0/2", "c/2/0/1", "c/2/0/2"]


def test_a_shard_of_nothing_but_fill_values_needs_no_object():
    values = np.full((4, 2, 12), np.nan, dtype=np.float32)
    assert encode_array(DOCUMENT, values, (0, 0, 0)) == {"c/0/0/0": None, "c/0/0/1": None}
    values[0, 0, 0] = 1
    encoded = encode_array(DOCUMENT, values, (0, 0, 0))
    assert encoded["c/0/0/0"]
    assert encoded["c/0/0/1"] is None


@pytest.mark.parametrize("shape", [(3, 2, 6), (4, 1, 6), (4, 2, 5), (4, 2, 11), (2, 2, 6)])
def test_half_a_shard_is_never_written(shape):
    with pytest.raises(ValueError, match=r"is not made of whole shards \(4, 2, 6\)"):
        encode_array(DOCUMENT, np.zeros(shape, np.float32), (0, 0, 0))


@pytest.mark.parametrize("offset", [(2, 0, 0), (0, 1, 0), (0, 0, 3), (0, 0)])
def test_a_slab_between_shards_is_never_written(offset):
    with pytest.raises(ValueError, match="does not begin on the borders of shards"):
        encode_array(DOCUMENT, np.zeros((4, 2, 6), np.float32), offset)


def test_encoding_is_the_same_every_time_and_does_not_depend_on_the_arrays_length():
    values = np.arange(48, dtype=np.float32).reshape(4, 2, 6)
    longer = json.loads(DOCUMENT)
    longer["shape"][0] = 400
    assert encode_array(DOCUMENT, values, (4, 0, 0)) == encode_array(json.dumps(longer).encode(), values, (4, 0, 0))


def test_what_has_no_object_is_missing():
    assert np.isnan(decode_array(DOCUMENT, {"c/0/0/0": None}, (4, 2, 11))).all()
    assert np.isnan(decode_array(DOCUMENT, {}, (4, 2, 11))).all()


def test_part_of_the_shards_may_be_read():
    values = np.arange(96, dtype=np.float32).reshape(4, 2, 12)
    encoded = encode_array(DOCUMENT, values, (0, 0, 0))
    np.testing.assert_array_equal(decode_array(DOCUMENT, encoded, (4, 2, 7)), values[:, :, :7])
