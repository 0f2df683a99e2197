"""From messages to points: which are needed, how wind is turned, what is missing and why."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import CATALOG, Variable, parse_variables
from hrrr_dask.decode import get_engine
from hrrr_dask.errors import ArchiveError, DecodeError, MessageNotFoundError, TruncatedError
from hrrr_dask.grid.definition import find_bilinear_cells, find_nearest_cells, read_grid
from hrrr_dask.job.extract import Placement, compute_point_values, wanted_messages
from hrrr_dask.records import GribFile
from hrrr_dask.testing import DEFAULT_WINDOW, GridWindow, expected_field
from hrrr_dask.testing.messages import MESSAGES, encode_message

FILE = GribFile(datetime(2024, 1, 1, 18), 5)
GRID = read_grid(DEFAULT_WINDOW.section3())
Y, X = np.array([3, 20, 11]), np.array([4, 30, 17])
LATITUDE, LONGITUDE = DEFAULT_WINDOW.latlon(Y + 0.25, X + 0.25)
NEAREST = Placement.of(GRID, find_nearest_cells(GRID, LATITUDE, LONGITUDE))
BILINEAR = Placement.of(GRID, find_bilinear_cells(GRID, LATITUDE, LONGITUDE))
U, V, T = (CATALOG[name] for name in ("u_component_wind_10m", "v_component_wind_10m", "temperature_2m"))


class FixedEngine:
    """Gives the cells' own positions, and fails for messages that say so."""

    name = "fixed"

    def engine_for(self, message: bytes) -> FixedEngine:
        return self

    def points(self, message: bytes, cells: np.ndarray) -> np.ndarray:
        if message == b"bad":
            raise DecodeError("cannot")
        return cells.astype(np.float32)


def field(variable: Variable) -> np.ndarray:
    return expected_field(variable.name, FILE.init_time, 60 * FILE.lead_hours, DEFAULT_WINDOW).astype(np.float64)


def messages_of(*variables: Variable) -> dict[Selector, bytes]:
    return {v.selector: encode_message(MESSAGES[v.name], FILE, DEFAULT_WINDOW) for v in variables}


def extract(variables, messages, gaps=None, placement=NEAREST, engine=None):
    return compute_point_values(variables, messages, gaps or {}, placement, engine or get_engine("eccodes"))


def rotated(u: np.ndarray, v: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The formula of the NCEP documentation for a cone that touches at 38.5 degrees."""
    alpha = np.sin(np.radians(38.5)) * np.radians((longitude - 262.5 + 180) % 360 - 180)
    return u * np.cos(alpha) + v * np.sin(alpha), -u * np.sin(alpha) + v * np.cos(alpha)


def test_a_component_needs_its_companion_and_nothing_is_needed_twice():
    assert wanted_messages([U]) == (U.selector, V.selector)
    assert wanted_messages([V]) == (V.selector, U.selector)
    assert wanted_messages([U, T, V]) == (U.selector, T.selector, V.selector)
    assert wanted_messages(parse_variables(["a=TMP:surface", "b=TMP:surface"])) == (Selector.parse("TMP:surface"),)
    assert wanted_messages([]) == ()


def test_a_scalar_passes_from_its_cell_bit_for_bit():
    values, missing, _ = extract([T], messages_of(T))
    assert missing == {}
    assert values.dtype == np.float32
    assert values[0].tolist() == field(T)[Y, X].astype(np.float32).tolist()


def test_wind_is_turned_from_the_grids_axes_to_east_and_north():
    values, missing, _ = extract([U, V], messages_of(U, V))
    _, longitude = DEFAULT_WINDOW.latlon(Y, X)
    east, north = rotated(field(U)[Y, X], field(V)[Y, X], longitude)
    assert missing == {}
    np.testing.assert_allclose(values, np.stack([east, north]), rtol=0, atol=1e-6)
    assert not np.allclose(values[0], field(U)[Y, X], atol=0.01), "the points are far enough from 97.5 W to tell"


def test_one_component_alone_is_the_same_as_with_its_companion():
    both, _, _ = extract([U, V], messages_of(U, V))
    for variable, expected in ((U, both[0]), (V, both[1])):
        values, _, _ = extract([variable], messages_of(U, V))
        assert values[0].tobytes() == expected.tobytes()


def test_turning_keeps_the_speed():
    values, _, _ = extract([U, V], messages_of(U, V))
    np.testing.assert_allclose(np.hypot(*values), np.hypot(field(U)[Y, X], field(V)[Y, X]), rtol=1e-6)


def test_bilinear_turns_each_neighbour_before_it_weighs_them():
    values, _, _ = extract([U, V, T], messages_of(U, V, T), placement=BILINEAR)
    expected = np.zeros((3, len(Y)))
    for dy, dx, weight in ((0, 0, 0.5625), (0, 1, 0.1875), (1, 0, 0.1875), (1, 1, 0.0625)):
        _, longitude = DEFAULT_WINDOW.latlon(Y + dy, X + dx)
        at = (Y + dy, X + dx)
        expected += weight * np.stack([*rotated(field(U)[at], field(V)[at], longitude), field(T)[at]])
    np.testing.assert_allclose(values, expected, rtol=0, atol=3e-5)


def test_the_angle_is_that_of_each_cell():
    cells = find_bilinear_cells(GRID, LATITUDE, LONGITUDE)
    _, longitude = DEFAULT_WINDOW.latlon(cells.index // DEFAULT_WINDOW.nx, cells.index % DEFAULT_WINDOW.nx)
    expected = np.sin(np.radians(38.5)) * np.radians((longitude - 262.5 + 180) % 360 - 180)
    np.testing.assert_allclose(BILINEAR.angle, expected, rtol=0, atol=1e-8)


def test_alaskas_angle_is_the_longitude_from_its_meridian():
    window = GridWindow(400, 200, 4, 5, "alaska")
    grid = read_grid(window.section3())
    latitude, longitude = window.latlon(np.array([1]), np.array([2]))
    placement = Placement.of(grid, find_nearest_cells(grid, latitude, longitude))
    np.testing.assert_allclose(placement.angle[0, 0], np.radians(longitude[0] - 225.0), atol=1e-7)


def test_what_cannot_be_decoded_is_missing_and_the_rest_is_not():
    values, missing, _ = extract([U, T], {U.selector: b"", V.selector: b"", T.selector: b"bad"}, engine=FixedEngine())
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()
    assert {name: type(error) for name, error in missing.items()} == {"temperature_2m": DecodeError}


@pytest.mark.parametrize("error", [MessageNotFoundError("not there"), TruncatedError("cut off")])
def test_a_gap_keeps_its_reason(error: ArchiveError):
    values, missing, _ = extract([T], {}, {T.selector: error})
    assert np.isnan(values).all()
    assert missing == {"temperature_2m": error}


def test_without_its_companion_a_component_is_missing_for_the_companions_reason():
    values, missing, _ = extract([U], messages_of(U), {V.selector: TruncatedError("cut off")})
    assert np.isnan(values).all()
    (error,) = missing.values()
    assert isinstance(error, TruncatedError)
    assert str(error) == "UGRD:10 m above ground:instant cannot be turned to earth-relative: cut off"


def test_a_component_that_is_missing_itself_says_its_own_reason():
    own, partner = MessageNotFoundError("own"), TruncatedError("partner")
    _, missing, _ = extract([U, V], {}, {U.selector: own, V.selector: partner})
    assert missing == {U.name: own, V.name: partner}


def test_each_variable_has_the_engine_that_decoded_it():
    unknown = bytearray(messages_of(T)[T.selector])
    start = 16
    while unknown[start + 4] != 5:
        start += int.from_bytes(unknown[start : start + 4], "big")
    unknown[start + 9 : start + 11] = (4).to_bytes(2, "big")  # template 5.4: IEEE numbers, which are too few here
    messages = {**messages_of(U, V), T.selector: bytes(unknown)}
    _, missing, engines = extract([U, V, T], messages, engine=get_engine("auto"))
    assert engines == {U.name: "numba", V.name: "numba"}
    assert type(missing[T.name]) is DecodeError  # what ecCodes says of it
    assert extract([U], messages_of(U, V), engine=get_engine("eccodes"))[2] == {U.name: "eccodes"}
