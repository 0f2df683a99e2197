"""Further columns of points: their types, names, missing values, and how they go together."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hrrr_dask.errors import PointsError
from hrrr_dask.grid.cell_surface import CellSurface, describe_odd_cells
from hrrr_dask.grid.point_columns import PointColumn, coordinate_name
from hrrr_dask.grid.points import Points, read_points


@pytest.fixture
def read(tmp_path):
    """Read a column of CSV by its fields, with a separator."""

    def read_fields(*fields, title="column", separator=","):
        path = tmp_path / "points.csv"
        lines = [separator.join((f"p{k}", "43", f"-{100 + k}", field)) for k, field in enumerate(fields)]
        path.write_text("\n".join([separator.join(("id", "lat", "lon", title)), *lines]))
        return read_points(path).columns

    return read_fields


@pytest.mark.parametrize(
    ("fields", "kind", "values"),
    [
        (("80", "100"), "int64", (80, 100)),
        (("80", "", "-3"), "int64", (80, None, -3)),
        (("80", "82.5", "1e3"), "float64", (80.0, 82.5, 1000.0)),
        (("80.0", "nan", "7"), "float64", (80.0, None, 7.0)),
        (("true", "FALSE"), "bool", (True, False)),
        (("true", "", "False"), "bool", (True, None, False)),
        (("true", "1"), "string", ("true", "1")),
        (("north", "", " far  south "), "string", ("north", None, "far south")),
        (("007", "12"), "string", ("007", "12")),
        (("9223372036854775808", "1"), "string", ("9223372036854775808", "1")),
        (("80", "n/a"), "string", ("80", "n/a")),
    ],
)
def test_a_column_of_csv_has_the_type_of_its_values(read, fields, kind, values):
    assert read(*fields) == {"column": PointColumn("column", kind, values)}


def test_decimal_commas_are_numbers_where_fields_are_separated_by_semicolons(read):
    assert read("82,5", "80", separator=";")["column"].values == (82.5, 80.0)
    assert read("82,5", "a,b", separator=";")["column"].values == ("82,5", "a,b")


def test_columns_without_values_or_without_a_name_are_left_out(read):
    assert read("", "") == {}
    assert read("1", "2", title="") == {}


def test_geojson_and_tables_keep_the_types_that_they_have(tmp_path):
    properties = [
        {"height": 80, "share": 0.5, "code": "12", "on": True, "lat": 1, "tags": ["a"]},
        {"height": 90, "share": 1, "code": "13", "on": False, "tags": {"b": 1}, "late": 7},
    ]
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-100 - k, 43]}, "properties": own}
        for k, own in enumerate(properties)
    ]
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = {name: (column.kind, column.values) for name, column in read_points(path).columns.items()}
    assert found == {
        "height": ("int64", (80, 90)),
        "share": ("float64", (0.5, 1.0)),
        "code": ("string", ("12", "13")),
        "on": ("bool", (True, False)),
        "tags": ("string", ('["a"]', '{"b": 1}')),
        "late": ("int64", (None, 7)),
    }
    table = pd.DataFrame({"lat": [43, 43], "lon": [-100, -101], "n": pd.array([1, None], "Int64"), "x": [np.nan, 2]})
    table["since"], table["kind"] = pd.to_datetime(["2020-01-01", None]), pd.Categorical(["a", "b"])
    found = {name: (column.kind, column.values) for name, column in read_points(table).columns.items()}
    assert found == {
        "n": ("int64", (1, None)),
        "x": ("float64", (None, 2.0)),
        "since": ("string", ("2020-01-01 00:00:00", None)),
        "kind": ("string", ("a", "b")),
    }


def test_arrays_are_typed_and_nothing_missing_looks_like_a_value():
    whole = [PointColumn("x", kind, values).to_array() for kind, values in (("int64", (1, 2)), ("bool", (True, False)))]
    assert [array.dtype for array in whole] == [np.int64, np.bool_]
    for kind, values in (("int64", (1, None)), ("bool", (True, None)), ("float64", (1.0, None))):
        array = PointColumn("x", kind, values).to_array()
        assert (array.dtype, array[0]) == (np.float64, 1)
        assert np.isnan(array[1])
    assert PointColumn("x", "string", ("a", None)).to_array().tolist() == ["a", ""]


@pytest.mark.parametrize(
    ("title", "name"),
    [("hub_height", "hub_height"), ("Hub height (m)", "Hub_height_m"), ("Länge", "Lange"), ("2024", "column_2024")],
)
def test_names_of_coordinates_are_letters_digits_and_underscores(title, name):
    assert coordinate_name(title, 1) == name
    assert coordinate_name("高さ", 3) == "column_3"


@pytest.mark.parametrize("title", ["status", "Valid time", "cell_elevation", "crs", "POINT"])
def test_a_column_with_the_name_of_a_coordinate_is_refused(read, title):
    with pytest.raises(PointsError, match=rf"found '{title}', which is a coordinate of the store; rename the column"):
        read("1", title=title)


def test_two_columns_of_one_name_are_refused(read):
    with pytest.raises(PointsError, match=r"found 'a b' and 'A_b', which would both be a_b; rename one"):
        read("1,2", title="a b,A_b")
    with pytest.raises(PointsError, match=r"two columns 'a b'; keep one"):
        read("1,2", title="a b,a  b")


def test_unusable_texts_are_listed_with_their_line(read):
    with pytest.raises(PointsError, match=r"line 3: its note has more than 1,024 characters"):
        read("x", "y" * 1025, title="note")
    with pytest.raises(PointsError, match=r"line 2: its note has control characters"):
        read("x\x07", "y", title="note")


def points_with(ids, **columns):
    made = {name: PointColumn(name, kind, tuple(values)) for name, (kind, values) in columns.items()}
    return Points(tuple(ids), tuple(ids), np.full(len(ids), 43.0), -100.0 - np.arange(len(ids)), made)


def test_columns_are_no_part_of_the_identity_and_travel_with_their_points():
    points = points_with("abc", height=("int64", (1, 2, 3)))
    plain = replace(points, columns={})
    assert points.digest() == plain.digest() == "8c34fe908b433b71"
    assert points != plain
    assert pickle.loads(pickle.dumps(points)) == points
    assert points.take([2, 0]).columns["height"].values == (3, 1)


def test_points_without_a_column_have_no_value_of_it():
    first = points_with("ab", height=("int64", (1, 2)), region=("string", ("x", "y")))
    joined = first.concat(points_with("c", region=("string", ("z",)), on=("bool", (True,)))).columns
    assert joined["height"] == PointColumn("height", "int64", (1, 2, None))
    assert joined["region"].values == ("x", "y", "z")
    assert joined["on"] == PointColumn("on", "bool", (None, None, True))


@pytest.mark.parametrize(
    ("kind", "there", "added", "values", "joined"),
    [
        ("float64", 1.5, "int64", 2, 2.0),
        ("int64", 1, "float64", 2.0, 2),
        ("string", "1", "int64", 2, "2"),
        ("string", "x", "bool", True, "true"),
    ],
)
def test_values_that_the_type_of_a_column_can_hold_are_converted(kind, there, added, values, joined):
    found = points_with("a", x=(kind, (there,))).concat(points_with("b", x=(added, (values,)))).columns["x"]
    assert (found.kind, found.values) == (kind, (there, joined))
    assert type(found.values[1]) is type(there)


@pytest.mark.parametrize(
    ("kind", "there", "added", "value", "wanted"),
    [
        ("int64", 1, "float64", 2.5, "whole numbers"),
        ("float64", 1.5, "string", "n/a", "numbers"),
        ("bool", True, "int64", 1, "true or false"),
        ("int64", 1, "bool", True, "whole numbers"),
        ("bool", True, "float64", 1.0, "true or false"),
    ],
)
def test_values_of_another_type_are_refused(kind, there, added, value, wanted):
    with pytest.raises(PointsError, match=rf"column 'x': wanted {wanted}, as the store has them .*found {value!r}"):
        points_with("a", x=(kind, (there,))).concat(points_with("b", x=(added, (value,))))


def test_points_in_water_and_far_from_the_height_of_their_cell_are_described():
    ids = [f"p{k}" for k in range(7)]
    elevation = np.array([0, 100, 500, 500, np.nan, 0, 0], np.float32)
    surface = CellSurface(elevation, np.array([0, 1, 1, np.nan, 1, 0, 0], np.float32))
    points = points_with(ids, Elevation=("int64", (0, 300, 701, 299, 5000, None, 0)))
    assert describe_odd_cells(points, surface) == [
        "3 points whose nearest cell is water (LAND:surface is 0): p0, p5, p6",
        "2 points whose nearest cell is more than 200 m higher or lower than their elevation: "
        "p2 (701 m, its cell 500 m), p3 (299 m, its cell 500 m)",
    ]
    assert describe_odd_cells(replace(points, columns={}), CellSurface.unknown(7)) == []
    (line,) = describe_odd_cells(replace(points, columns={}), CellSurface(elevation, np.zeros(7, np.float32)))
    assert line.endswith("p0, p1, p2, p3, p4 and 2 more")
