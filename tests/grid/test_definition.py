"""Grid definitions and cells of points, checked against brute force, PROJ and the origin measured in real files."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.errors import PointsError, WrongIdentityError
from hrrr_dask.grid.definition import (
    BILINEAR_MARGIN,
    Grid,
    distance_outside,
    find_bilinear_cells,
    find_nearest_cells,
    great_circle_m,
    read_grid,
    rotate_to_earth,
)

RADIUS = 6371229.0


def section3(**changes):
    """Section 3 of the CONUS grid, with some fields changed."""
    fields = {
        "number": 3, "source": 0, "count": None, "listed": 0, "template": 30, "shape": 6, "radius_factor": 0,
        "radius_scaled": 0, "nx": 1799, "ny": 1059, "la1": 21138123, "lo1": 237280472, "flags": 8, "lad": 38500000,
        "lov": 262500000, "dx": 3000000, "dy": 3000000, "centre": 0, "scanning": 64, "latin1": 38500000,
        "latin2": 38500000,
    }  # fmt: skip
    assert changes.keys() <= fields.keys()
    f = fields | changes
    count = f["nx"] * f["ny"] if f["count"] is None else f["count"]
    body = struct.pack(">BBIBBH", f["number"], f["source"], count, f["listed"], 0, f["template"])
    body += struct.pack(">BBIBIBI", f["shape"], f["radius_factor"], f["radius_scaled"], 0, 0, 0, 0)
    body += struct.pack(">IIIIBIIII", *(f[k] for k in ("nx", "ny", "la1", "lo1", "flags", "lad", "lov", "dx", "dy")))
    body += struct.pack(">BB", f["centre"], f["scanning"])
    if f["template"] == 30:
        body += struct.pack(">IIII", f["latin1"], f["latin2"], 0, 0)
    return struct.pack(">I", len(body) + 4) + body


ALASKA_FIELDS = {
    "template": 20, "nx": 1299, "ny": 919, "la1": 41612949, "lo1": 185117126, "lad": 60000000, "lov": 225000000,
}  # fmt: skip

CONUS = read_grid(section3())
ALASKA = read_grid(section3(**ALASKA_FIELDS))
WINDOW = read_grid(section3(nx=41, ny=78, la1=41881421, lo1=243070146))
SECANT = read_grid(section3(nx=60, ny=50, lad=25000000, latin1=25000000, latin2=45000000))
GRIDS = {"conus": CONUS, "alaska": ALASKA, "window": WINDOW, "secant": SECANT}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())


def real_section3(name):
    """Section 3 of the first message of a real file."""
    path = SHARED_DATA / "messages" / name
    if not path.exists():
        pytest.skip(needs.REAL_BYTES)
    content = path.read_bytes()
    start = 16
    while content[start + 4] != 3:
        start += int.from_bytes(content[start : start + 4])
    return content[start : start + int.from_bytes(content[start : start + 4])]


def unit(latitude, longitude):
    """Unit vectors, for chords: a reference for distances without the haversine formula."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def cell_positions(grid, count, seed, margin=0.0):
    """Random coordinates on a grid, up to ``margin`` cells beyond the outermost centres."""
    generator = np.random.default_rng(seed)
    row = generator.uniform(-margin, grid.ny - 1 + margin, count)
    column = generator.uniform(-margin, grid.nx - 1 + margin, count)
    return grid.latlon(row, column)


# --- section 3 ---


def test_the_grids_of_these_tests_are_those_of_real_messages():
    assert real_section3("hrrr.20230722.t06z.wrfsfcf01.UGRD-10m.grib2") == section3()
    assert read_grid(real_section3("hrrr.20240101.t00z.wrfsfcf00.ak.REFC.grib2")) == ALASKA


def test_every_field_of_section_3_is_read():
    section = section3(shape=1, radius_factor=0x82, radius_scaled=63712, flags=0, dx=2500500, latin2=50000000)
    assert read_grid(section) == Grid(
        kind="lambert", nx=1799, ny=1059, dx=2500.5, dy=3000.0, radius=6371200.0, first_latitude=21.138123,
        first_longitude=237.280472 - 360, lad=38.5, lov=-97.5, latin1=38.5, latin2=50.0, wind_relative_to_grid=False,
    )  # fmt: skip


def test_the_older_standard_sphere_is_supported():
    assert read_grid(section3(shape=0)).radius == 6367470.0


def test_negative_numbers_have_a_sign_bit_and_a_magnitude():
    assert read_grid(section3(lo1=0x80000000 | 122719528)).first_longitude == CONUS.first_longitude


def test_the_same_bytes_give_the_same_object():
    assert read_grid(section3()) is read_grid(section3())


def test_a_grid_can_be_pickled():
    assert pickle.loads(pickle.dumps(ALASKA)) == ALASKA


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"number": 4}, "section 4"),
        ({"source": 1}, "source 1"),
        ({"listed": 2}, "2 bytes of row lengths"),
        ({"template": 0}, "template 3.0"),
        ({"count": 5}, "it counts 5 cells, but has 1799 x 1059"),
        ({"scanning": 0}, "scanning mode is 0, not 64"),
        ({"centre": 128}, "south pole"),
        ({"shape": 4}, "shape is number 4"),
        ({"shape": 1, "radius_scaled": 1}, "radius"),
        ({"nx": 0}, "0 x 1059"),
        ({"dx": 0}, "0.0 m x"),
        ({"la1": 90000001}, "first latitude"),
        ({"lo1": 0xFFFFFFFF}, "longitudes must be within"),
        ({"lov": 360000001}, "longitudes must be within"),
        ({"lad": 30000000}, "not to a standard parallel, 38.5 or 38.5"),
        ({"lad": 90000000, "latin1": 90000000}, "lad of a northern lambert"),
        ({"latin2": 0x80000000 | 38500000}, "latin2"),
        (ALASKA_FIELDS | {"lad": 0x80000000 | 60000000}, "lad of a northern polar"),
    ],
)
def test_other_grids_are_refused_with_the_reason(changes, word):
    with pytest.raises(WrongIdentityError, match="wanted a message on a Lambert") as caught:
        read_grid(section3(**changes))
    assert word in str(caught.value)


def test_a_template_of_the_wrong_length_is_refused():
    long = section3(**ALASKA_FIELDS) + b"\0"
    with pytest.raises(WrongIdentityError, match="has 66 bytes, not 65"):
        read_grid(struct.pack(">I", len(long)) + long[4:])


@given(st.integers(0, 81))
def test_a_truncated_section_is_refused(length):
    section = section3()[:length]
    if length < 81:
        with pytest.raises(WrongIdentityError):
            read_grid(section)


@given(st.integers(0, 80), st.integers(0, 255))
def test_a_corrupt_section_is_refused_or_gives_a_usable_grid(at, octet):
    section = bytearray(section3())
    section[at] = octet
    try:
        grid = read_grid(bytes(section))
    except WrongIdentityError:
        return
    assert np.isfinite(grid.latlon(*grid.index_of(40.0, -100.0))).all()


def test_the_constructor_validates_a_grid():
    with pytest.raises(ValueError, match="lov must be within"):
        dataclasses.replace(CONUS, lov=262.5)


# --- the projection ---


def test_the_origin_is_that_measured_in_real_files():
    offset = CONUS.index_of(38.5, -97.5)
    assert np.array(offset) * 3000 == pytest.approx([1587306.152557, 2697520.142522], abs=1e-6)


def test_all_conus_cells_convert_to_coordinates_and_back():
    rows, columns = np.mgrid[0:1059, 0:1799]
    back_rows, back_columns = CONUS.index_of(*CONUS.latlon(rows, columns))
    assert rows.size == 1_905_141
    assert np.abs(back_rows - rows).max() < 1e-8
    assert np.abs(back_columns - columns).max() < 1e-8


@every_grid
@given(data=st.data())
def test_coordinates_convert_to_row_and_column_and_back(grid, data):
    latitude = data.draw(st.floats(-60, 89.9))
    longitude = grid.lov + data.draw(st.floats(-179.9, 179.9))
    back_latitude, back_longitude = grid.latlon(*grid.index_of(latitude, longitude))
    assert -180 <= back_longitude <= 180
    assert great_circle_m(latitude, longitude, back_latitude, back_longitude, RADIUS) < 1e-3


PROJ_ORACLE = """
import json, sys
import pyproj
for job in json.load(sys.stdin):
    crs = pyproj.CRS.from_cf(job["cf"])
    projection = pyproj.Proj(crs)
    x, y = projection(job["lon"], job["lat"])
    factors = projection.get_factors(job["lon"], job["lat"])
    x0, y0 = projection(job["lon0"], job["lat0"])
    up_lon, up_lat = projection(x, [b + 10 for b in y], inverse=True)
    azimuth, _, _ = pyproj.Geod(a=job["radius"], b=job["radius"]).inv(job["lon"], job["lat"], up_lon, up_lat)
    print(json.dumps({
        "column": [(a - x0) / job["dx"] for a in x],
        "row": [(b - y0) / job["dy"] for b in y],
        "azimuth": list(azimuth),
        "convergence": list(factors.meridian_convergence),
    }))
"""


@pytest.fixture(scope="module")
def proj():
    """Positions and the azimuth of the grid's north by PROJ, in its own process because it crashes beside ecCodes."""
    places = {name: cell_positions(grid, 500, seed=1, margin=50) for name, grid in GRIDS.items()}
    jobs = [
        {
            "cf": grid.cf_attributes(), "lat": places[name][0].tolist(), "lon": places[name][1].tolist(),
            "lat0": grid.first_latitude, "lon0": grid.first_longitude, "dx": grid.dx, "dy": grid.dy,
            "radius": grid.radius,
        }
        for name, grid in GRIDS.items()
    ]  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-c", PROJ_ORACLE]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = (json.loads(line) for line in done.stdout.splitlines())
    return {name: (places[name], answer) for name, answer in zip(GRIDS, answers, strict=True)}


@pytest.mark.parametrize("name", GRIDS)
def test_positions_agree_with_proj_for_the_cf_attributes(proj, name):
    (latitude, longitude), answer = proj[name]
    row, column = GRIDS[name].index_of(latitude, longitude)
    assert row == pytest.approx(answer["row"], abs=1e-6)
    assert column == pytest.approx(answer["column"], abs=1e-6)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("kind", "tolerance"), [("azimuth", 1e-4), ("convergence", 1e-5)])
def test_the_wind_angle_agrees_with_proj(proj, name, kind, tolerance):
    (_, longitude), answer = proj[name]
    apart = np.degrees(GRIDS[name].wind_angle(longitude)) - np.array(answer[kind])
    assert np.abs((apart + 180) % 360 - 180).max() < tolerance


@every_grid
def test_rotated_wind_along_a_column_points_to_the_next_cell(grid):
    latitude, longitude = cell_positions(grid, 100, seed=2)
    row, column = grid.index_of(latitude, longitude)
    step_latitude, step_longitude = grid.latlon(row + 1e-3, column)
    north = np.radians(step_latitude - latitude)
    east = np.radians((step_longitude - longitude + 180) % 360 - 180) * np.cos(np.radians(latitude))
    length = np.hypot(east, north)
    u_east, v_north = rotate_to_earth(0.0, 1.0, grid.wind_angle(longitude))
    assert u_east == pytest.approx(east / length, abs=1e-5)
    assert v_north == pytest.approx(north / length, abs=1e-5)


def test_wind_angles_in_seattle_and_new_york():
    assert np.degrees(CONUS.wind_angle([-122.33, -74.0])) == pytest.approx([-15.5, 14.6], abs=0.05)
    assert np.degrees(CONUS.wind_angle(237.67)) == pytest.approx(-15.46, abs=0.01)


def test_rotation_conserves_the_wind_speed_in_double_precision():
    u, v = np.float32([3, -7]), np.float32([4, 24])
    east, north = rotate_to_earth(u, v, CONUS.wind_angle([-122.0, -74.0]))
    assert east.dtype == north.dtype == np.float64
    assert np.hypot(east, north) == pytest.approx([5, 25])


@given(*[st.floats(-89, 89), st.floats(-180, 180)] * 2)
def test_great_circle_distances_agree_with_chords(lat1, lon1, lat2, lon2):
    chord = np.linalg.norm(unit(lat1, lon1) - unit(lat2, lon2))
    expected = 2 * RADIUS * math.asin(min(chord / 2, 1))
    assert great_circle_m(lat1, lon1, lat2, lon2, RADIUS) == pytest.approx(expected, rel=1e-6, abs=1e-3)


# --- comparison of grids ---


def test_grids_with_origins_53_metres_apart_have_the_same_cells():
    moved = dataclasses.replace(CONUS, first_latitude=CONUS.first_latitude + 53 / 111_200)
    assert CONUS.same_cells_as(moved)
    assert not CONUS.same_cells_as(moved, tolerance_m=50)


def test_grids_with_another_wind_reference_have_the_same_cells():
    assert CONUS.same_cells_as(dataclasses.replace(CONUS, wind_relative_to_grid=False))


@pytest.mark.parametrize(
    "change",
    [
        {"nx": 1798},
        {"ny": 1058},
        {"dx": 3001.0},
        {"radius": 6367470.0},
        {"lov": -97.4},
        {"latin2": 40.0},
        {"first_longitude": -122.7},
        {"kind": "polar_stereographic"},
    ],
)
def test_grids_that_differ_otherwise_have_other_cells(change):
    assert not CONUS.same_cells_as(dataclasses.replace(CONUS, **change))


# --- description and attributes ---


def test_the_description_is_one_line():
    assert CONUS.describe() == (
        "Lambert conformal grid of 1799 x 1059 cells of 3 km x 3 km, "
        "first cell at 21.1381, -122.7195, last cell at 47.8422, -60.9172"
    )
    assert ALASKA.describe().startswith("polar stereographic grid of 1299 x 919")


def test_cf_attributes_have_one_or_two_standard_parallels():
    assert CONUS.cf_attributes()["standard_parallel"] == 38.5
    assert SECANT.cf_attributes()["standard_parallel"] == [25.0, 45.0]
    assert ALASKA.cf_attributes()["grid_mapping_name"] == "polar_stereographic"


# --- cells of points ---


@every_grid
def test_the_nearest_cell_agrees_with_brute_force(grid):
    rows, columns = np.mgrid[0 : grid.ny, 0 : grid.nx]
    cells = unit(*grid.latlon(rows.ravel(), columns.ravel()))
    latitude, longitude = cell_positions(grid, 60, seed=3, margin=0.499)
    found = find_nearest_cells(grid, latitude, longitude)
    for point, place in enumerate(unit(latitude, longitude)):
        best = cells[(cells @ place).argmax()]
        least = 2 * RADIUS * math.asin(np.linalg.norm(best - place) / 2)
        # On the border of two cells, map and sphere may select different cells, within a metre.
        assert found.distance[point] == pytest.approx(least, abs=1)
        chosen = cells[found.index[point, 0]]
        assert 2 * RADIUS * math.asin(np.linalg.norm(chosen - place) / 2) == pytest.approx(least, abs=1)


def test_the_nearest_cell_has_weight_one():
    cells = find_nearest_cells(CONUS, [47.6, 40.7], [237.67, -74.0])
    assert cells.index.shape == (2, 1)
    assert cells.weight.tolist() == [[1.0], [1.0]]
    assert (cells.index[:, 0] == cells.y * 1799 + cells.x).all()
    assert (cells.index.dtype, cells.y.dtype, cells.x.dtype) == (np.int64, np.int32, np.int32)
    assert great_circle_m([47.6, 40.7], [-122.33, -74.0], cells.latitude, cells.longitude, RADIUS) == pytest.approx(
        cells.distance
    )


@every_grid
def test_a_point_half_a_cell_beyond_the_outermost_centres_is_in_the_outermost_cell(grid):
    cells = find_nearest_cells(grid, *grid.latlon([-0.5, grid.ny - 0.5], [-0.5, grid.nx - 0.5]))
    assert cells.index[:, 0].tolist() == [0, grid.nx * grid.ny - 1]


@every_grid
def test_bilinear_weights_reproduce_the_position_of_a_point(grid):
    latitude, longitude = cell_positions(grid, 200, seed=4)
    cells = find_bilinear_cells(grid, latitude, longitude)
    rows, columns = np.divmod(cells.index, grid.nx)
    row, column = grid.index_of(latitude, longitude)
    assert cells.index.shape == (200, 4)
    assert cells.weight.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert cells.weight.min() >= 0
    assert (cells.weight * rows).sum(axis=1) == pytest.approx(row, abs=1e-6)
    assert (cells.weight * columns).sum(axis=1) == pytest.approx(column, abs=1e-6)
    assert (np.ptp(rows, axis=1) == 1).all()
    assert (np.ptp(columns, axis=1) == 1).all()


@every_grid
def test_bilinear_cells_have_the_same_nearest_cell(grid):
    places = cell_positions(grid, 50, seed=5)
    of_four, of_one = find_bilinear_cells(grid, *places), find_nearest_cells(grid, *places)
    for field in ("y", "x", "latitude", "longitude", "distance"):
        assert (getattr(of_four, field) == getattr(of_one, field)).all()


@every_grid
def test_points_at_the_outermost_centres_have_bilinear_cells(grid):
    last = (grid.ny - 1, grid.nx - 1)
    cells = find_bilinear_cells(grid, *grid.latlon([0, last[0], 0], [0, last[1], last[1]]))
    heaviest = cells.index[np.arange(3), cells.weight.argmax(axis=1)]
    assert heaviest.tolist() == [0, grid.nx * grid.ny - 1, grid.nx - 1]
    assert cells.weight.max(axis=1) == pytest.approx(1, abs=1e-6)


def test_bilinear_cells_require_two_rows_and_columns():
    with pytest.raises(PointsError, match="use nearest"):
        find_bilinear_cells(dataclasses.replace(CONUS, ny=1), 21.2, -122.7)


def test_a_grid_may_have_a_single_cell():
    grid = dataclasses.replace(CONUS, ny=1, nx=1)
    assert find_nearest_cells(grid, grid.first_latitude, grid.first_longitude).index.tolist() == [[0]]
    assert distance_outside(grid, 60, 0).item() > 1e6


# --- points outside ---


def test_points_outside_are_refused_with_number_coordinates_and_distance():
    with pytest.raises(PointsError, match=r"2 of 3 outside, the first \(number 1, at 0.0, 10.0\) by [\d.]+ km"):
        find_nearest_cells(CONUS, [40, 0, np.nan], [-100, 10, 0])


def test_points_in_the_outer_half_of_an_edge_cell_have_a_nearest_cell_only():
    place = CONUS.latlon(-0.3, 900)
    assert find_nearest_cells(CONUS, *place).y.tolist() == [0]
    assert distance_outside(CONUS, *place).tolist() == [0]
    assert distance_outside(CONUS, *place, margin=BILINEAR_MARGIN).item() == pytest.approx(900, rel=0.06)
    with pytest.raises(PointsError):
        find_bilinear_cells(CONUS, *place)


@every_grid
def test_points_on_the_grid_have_distance_zero(grid):
    assert not distance_outside(grid, *cell_positions(grid, 500, seed=6, margin=0.5)).any()


def dense_outline(grid):
    """Unit vectors along the outline, about every 15 m."""
    row = np.linspace(-0.5, grid.ny - 0.5, grid.ny * 200 + 1)
    column = np.linspace(-0.5, grid.nx - 0.5, grid.nx * 200 + 1)
    sides = [(row, 0 * row - 0.5), (row, 0 * row + grid.nx - 0.5)]
    sides += [(0 * column - 0.5, column), (0 * column + grid.ny - 0.5, column)]
    return np.concatenate([unit(*grid.latlon(*side)) for side in sides])


@every_grid
def test_the_distance_outside_agrees_with_brute_force(grid):
    generator = np.random.default_rng(7)
    outline = dense_outline(grid)
    side = generator.uniform(-0.5, grid.ny - 0.5, 40)
    away = 10 ** generator.uniform(-1, 2.5, 40)
    west = grid.latlon(side, -0.5 - away)
    far = (np.degrees(np.arcsin(generator.uniform(-1, 1, 40))), generator.uniform(-180, 180, 40))
    latitude, longitude = np.concatenate([west, far], axis=1)
    found = distance_outside(grid, latitude, longitude)
    for place, distance in zip(unit(latitude, longitude), found, strict=True):
        chord = np.linalg.norm(outline[(outline @ place).argmax()] - place)
        if distance:
            assert distance == pytest.approx(2 * RADIUS * math.asin(chord / 2), rel=0.01)
    assert (found[:40] > 0).all()


@every_grid
def test_every_point_outside_has_a_positive_finite_distance(grid):
    latitude, longitude = (axis.ravel() for axis in np.meshgrid(np.linspace(-90, 90, 61), np.linspace(-180, 360, 109)))
    row, column = grid.index_of(latitude, longitude)
    inside = (row >= -0.5) & (row <= grid.ny - 0.5) & (column >= -0.5) & (column <= grid.nx - 0.5)
    distance = distance_outside(grid, latitude, longitude)
    assert ((distance == 0) == inside).all()
    assert (distance <= np.pi * RADIUS).all()


@pytest.mark.parametrize("place", [(90, 0), (-90, 0), (40, CONUS.lov + 180), (-38.5, CONUS.lov + 180)])
def test_poles_and_the_opposite_side_of_the_earth_are_outside_conus(place):
    assert 1e6 < distance_outside(CONUS, *place).item() < 2.1e7


def test_the_distance_of_nan_coordinates_is_nan():
    assert np.isnan(distance_outside(CONUS, [np.nan], [0])).all()


def test_no_points_have_no_cells():
    assert find_nearest_cells(CONUS, [], []).index.shape == (0, 1)
    assert find_bilinear_cells(CONUS, [], []).weight.shape == (0, 4)
    assert distance_outside(CONUS, [], []).shape == (0,)
