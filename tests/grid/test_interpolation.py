"""Weighted sums of the neighbours of points."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.grid.interpolation import apply_weights

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS, min_size=1))
def test_a_single_neighbour_is_returned_bit_for_bit(values):
    column = np.array(values, dtype=np.float32)[:, None]
    combined = apply_weights(column, np.ones(column.shape))
    assert combined.tobytes() == column[:, 0].tobytes()


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4), st.integers(0, 8), st.integers(0, 8))
def test_four_neighbours_are_summed_by_weight(values, eighths_up, eighths_right):
    up, right = eighths_up / 8, eighths_right / 8
    weight = [(1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right]
    expected = sum(value * part for value, part in zip(values, weight, strict=True))
    assert apply_weights(np.array([values]), np.array([weight]))[0] == np.float32(expected)


def test_equal_neighbours_give_their_value():
    assert apply_weights(np.full((1, 4), 273.15, np.float32), np.full((1, 4), 0.25))[0] == np.float32(273.15)


def test_a_missing_neighbour_makes_the_point_missing_unless_its_weight_is_zero():
    values = np.array([[1.0, np.nan], [1.0, np.nan], [np.nan, np.nan]], dtype=np.float32)
    combined = apply_weights(values, np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]]))
    assert combined[0] == 1.0
    assert np.isnan(combined[1:]).all()
    assert np.isnan(apply_weights(np.array([[np.nan]]), np.array([[1.0]]))).all()


def test_arguments_are_not_modified():
    values, weight = np.array([[1.0, np.nan]]), np.array([[1.0, 0.0]])
    apply_weights(values, weight)
    assert np.isnan(values[0, 1])
