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

from hrrr_dask.outcomes import NEVER, NOT_INGESTED
from hrrr_dask.store.shards import decode_shard, encode_shard, fill_shard, shard_shape

SHARDS = (4, 2, 6)
CHUNKS = (4, 2, 3)


def new_array(shape=(12, 2, 11), shards=SHARDS, dtype="float32", fill_value=np.nan) -> tuple[zarr.Array, dict]:
    objects: dict = {}
    array = zarr.create_array(
        MemoryStore(objects), shape=shape, chunks=CHUNKS, shards=shards, dtype=dtype, fill_value=fill_value
    )
    return array, objects


def document_of(objects: dict) -> dict:
    found: dict = json.loads(objects["zarr.json"].to_bytes())
    return found


DOCUMENT = document_of(new_array()[1])
STATUS = document_of(new_array(shards=None, dtype="uint8", fill_value=NOT_INGESTED)[1])
DATES = document_of(new_array(shards=None, dtype="int64", fill_value=NEVER)[1])
"""Without inner chunks, as the store's small arrays are."""
VALUES = st.one_of(st.just(np.nan), st.floats(-100, 100, width=32))


@settings(max_examples=40, deadline=None)
@given(npst.arrays(np.float32, SHARDS, elements=VALUES))
def test_decoding_undoes_encoding(values):
    again = decode_shard(DOCUMENT, encode_shard(DOCUMENT, values))
    assert again.dtype == np.float32
    assert again.tobytes() == values.tobytes()


FEW = st.integers(0, 1)


@settings(max_examples=20, deadline=None)
@given(npst.arrays(np.uint8, CHUNKS, elements=FEW), npst.arrays(np.int64, CHUNKS, elements=FEW))
def test_decoding_undoes_encoding_without_inner_chunks(status, since):
    dates = np.where(since == 0, NEVER, since)
    for document, values in ((STATUS, status), (DATES, dates)):
        again = decode_shard(document, encode_shard(document, values))
        assert again.dtype == values.dtype
        assert again.tolist() == values.tolist()


def test_the_shape_of_a_shard_is_that_of_one_object():
    assert shard_shape(DOCUMENT) == SHARDS
    assert shard_shape(STATUS) == CHUNKS


def test_zarr_reads_what_was_encoded_where_it_belongs():
    array, objects = new_array()
    make = type(objects["zarr.json"]).from_bytes
    values = np.arange(48, dtype=np.float32).reshape(SHARDS)
    objects["c/2/0/0"] = make(encode_shard(DOCUMENT, values))
    objects["c/2/0/1"] = make(encode_shard(DOCUMENT, values + 100))
    np.testing.assert_array_equal(array[8:, :, :6], values)
    np.testing.assert_array_equal(array[8:, :, 6:], values[..., :5] + 100)
    assert np.isnan(array[:8]).all()


def test_zarr_would_write_the_same_bytes():
    array, objects = new_array((4, 2, 6))
    values = np.arange(48, dtype=np.float32).reshape(SHARDS)
    values[..., 3:] = np.nan
    array[...] = values
    assert encode_shard(DOCUMENT, values) == objects["c/0/0/0"].to_bytes()


def test_a_shard_of_nothing_but_fill_values_is_an_object_that_any_zarr_reads():
    array, objects = new_array()
    make = type(objects["zarr.json"]).from_bytes
    nothing = np.full(SHARDS, np.nan, np.float32)
    data = encode_shard(DOCUMENT, nothing)
    assert data
    assert np.isnan(decode_shard(DOCUMENT, data)).all()
    objects["c/0/0/0"] = make(data)
    assert np.isnan(array[...]).all()
    array[0, 0, 0] = 7  # zarr goes on from there
    assert array[0, 0, :2].tolist()[0] == 7
    nothing[0, 0, 0] = 7
    assert objects["c/0/0/0"].to_bytes() == encode_shard(DOCUMENT, nothing)


@pytest.mark.parametrize(("document", "fill"), [(STATUS, NOT_INGESTED), (DATES, NEVER)])
def test_fill_values_without_inner_chunks_are_an_object_too(document, fill):
    values = np.full(CHUNKS, fill)
    data = encode_shard(document, values)
    assert decode_shard(document, data).tolist() == values.tolist() == fill_shard(document).tolist()


@pytest.mark.parametrize("shape", [(3, 2, 6), (4, 1, 6), (4, 2, 5), (8, 2, 6), (4, 2, 12), (2, 2, 6), (48,)])
def test_half_a_shard_is_never_written(shape):
    with pytest.raises(ValueError, match=r"are not a whole shard of \(4, 2, 6\)"):
        encode_shard(DOCUMENT, np.zeros(shape, np.float32))


def test_encoding_is_the_same_every_time_and_does_not_depend_on_the_arrays_length():
    values = np.arange(48, dtype=np.float32).reshape(SHARDS)
    longer = {**DOCUMENT, "shape": [400, 2, 99]}
    assert encode_shard(DOCUMENT, values) == encode_shard(longer, values)
    assert DOCUMENT["shape"] == [12, 2, 11]


def test_what_has_no_object_is_missing():
    assert fill_shard(DOCUMENT).shape == SHARDS
    assert np.isnan(fill_shard(DOCUMENT)).all()


@pytest.mark.parametrize("document", [DOCUMENT, STATUS, DATES])
def test_an_empty_object_is_no_shard_of_missing_values(document):
    with pytest.raises(ValueError, match="it is empty"):
        decode_shard(document, b"")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_shard_that_was_cut_off_is_damaged_and_nothing_else(data):
    document = data.draw(st.sampled_from([DOCUMENT, STATUS, DATES]))
    encoded = encode_shard(document, np.arange(np.prod(shard_shape(document))).reshape(shard_shape(document)))
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        decode_shard(document, cut)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_damaged_or_a_shard_and_never_another_error(noise):
    for document in (DOCUMENT, STATUS, DATES):
        try:
            found = decode_shard(document, noise)
        except (ValueError, RuntimeError, TypeError):
            continue
        assert found.shape == shard_shape(document)
