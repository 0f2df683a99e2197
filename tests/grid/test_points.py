"""Reading of points from CSV, GeoJSON and tables, and the errors of invalid ones."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrrr_dask.errors import PointsError
from hrrr_dask.grid import point_files
from hrrr_dask.grid.points import Points, read_points

PAIR = Points(("boise", "kuna"), ("Boise", "Kuna"), np.array([43.6, 43.5]), np.array([-116.2, -116.4]))


@pytest.fixture
def read(tmp_path):
    """Write text or bytes to a file and read points from it."""

    def read_content(content):
        path = tmp_path / "points.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_points(path)

    return read_content


@pytest.fixture
def error_text(read):
    """Write text or bytes to a file and return the text of the error when reading it."""

    def read_content(content):
        with pytest.raises(PointsError) as caught:
            read(content)
        return str(caught.value)

    return read_content


def places(points):
    return list(zip(points.latitude.tolist(), points.longitude.tolist(), strict=True))


# --- CSV ---


@pytest.mark.parametrize(
    "text",
    [
        "point_id,name,latitude,longitude\nboise,Boise,43.6,-116.2\nkuna,Kuna,43.5,-116.4\n",
        "\ufeffpoint_id,name,latitude,longitude\nboise,Boise,43.6,-116.2\nkuna,Kuna,43.5,-116.4",
        "point_id,name,latitude,longitude\r\nboise,Boise,43.6,-116.2\r\n\r\nkuna,Kuna,43.5,-116.4\r\n",
        " Longitude , LAT, ID ,\tName \n -116.2, 43.6, boise, Boise\n# closed: 1,2,x,y\n\n-116.4 ,43.5 ,kuna ,Kuna ",
        'Point ID,name,lon,lat,height\nboise,"Boise",-116.2,43.6,800\nkuna, "Kuna" ,-116.4,43.5,\n',
        "point_id,name,latitude,lng\rboise,Boise,43.6,-116.2\rkuna,Kuna,43.5,-116.4\r",
        "id,name,lat,long\nboise,Boise,43.6,-116.2,,\nkuna,Kuna,4.35e1,-116.4",
    ],
)
def test_order_case_spaces_and_line_ends_of_csv_with_a_header_are_free(read, text):
    assert replace(read(text.replace(' "Kuna" ', ' "Kuna"')), columns={}) == PAIR


def test_csv_without_a_header_may_have_comments(read):
    points = read('# sites, of old\n43.6,-116.2\n\n 43.5 , -116.4  # Kuna, "south\n43,-116,\n')
    assert places(points) == [(43.6, -116.2), (43.5, -116.4), (43.0, -116.0)]
    assert points.point_id == points.name == ("p0000", "p0001", "p0002")


@pytest.mark.parametrize(
    "text",
    [
        "point_id;name;latitude;longitude\nboise;Boise;43.6;-116.2\nkuna;Kuna;43.5;-116.4\n",
        "point_id\tname\tlatitude\tlongitude\r\nboise\tBoise\t43.6\t-116.2\r\nkuna\tKuna\t43.5\t-116.4\r\n",
        "id;name;lat;lon\nboise;Boise;43,6;-116,2\nkuna;Kuna;43,5;-1,164e2\n",
        "# of 2024, old\nlat\tlon\tid\tname\n43,6\t-116,2\tboise\tBoise\t\n43,5\t -116,4\tkuna\tKuna\n",
    ],
)
def test_semicolons_and_tabs_separate_fields_too_and_then_a_comma_may_be_the_decimal_mark(read, text):
    assert read(text) == PAIR


@pytest.mark.parametrize("text", ["43.6;-116.2\n43;-116", "43,6\t-116,2\n43\t-116", "43,6 ; -116,2  # a\n43;-116;"])
def test_lines_without_a_header_may_have_semicolons_or_tabs(read, text):
    assert places(read(text)) == [(43.6, -116.2), (43, -116)]


def test_a_name_between_semicolons_may_have_commas_and_the_other_way_round(read):
    assert read("lat;lon;name\n1;2;Reykjavík, Ísland\n").name == ("Reykjavík, Ísland",)
    assert read("lat,lon,name\n1,2,Ísland;\tnorth\n").name == ("Ísland; north",)


def test_an_empty_first_field_of_a_table_with_tabs_is_a_field(read):
    points = read("name\tlatitude\tlongitude\n\t43.6\t-116.2\nKuna\t43.5\t-116.4\n")
    assert points.name == ("p0000", "Kuna")
    assert places(points) == places(PAIR)


@pytest.mark.parametrize(
    "text", ["id,lat,lon\na,1,2\n,,\n", "id;lat;lon\na;1;2\n;;\n;;\n\n", "lat\tlon\n1\t2\n\t\n", '1,2\n, ,""\n']
)
def test_last_lines_of_empty_fields_are_no_points(read, text):
    assert places(read(text)) == [(1, 2)]


def test_a_line_of_empty_fields_before_other_points_is_reported(error_text):
    assert "line 3: latitude is missing" in error_text("id,lat,lon\na,1,2\n,,\nb,1,2\n")


def test_a_name_may_have_commas_and_non_ascii_characters(read):
    points = read('latitude,longitude,name\n1,2,"Reykjavík, Ísland"\n3,4,日本 #2\n')
    assert points.name == ("Reykjavík, Ísland", "日本 #2")


def test_a_name_defaults_to_the_id_which_keeps_leading_zeros(read):
    points = read("id,lat,lon,name\na,1,2,Alpha\n007,3,4,")
    assert (points.point_id, points.name) == (("a", "007"), ("Alpha", "007"))


def test_default_ids_are_numbered_in_order(read):
    ids = read("\n".join(["1,2"] * 10_001)).point_id
    assert (ids[0], ids[9_999], ids[10_000]) == ("p0000", "p9999", "p10000")


def test_longitudes_may_be_given_from_0_to_360(read):
    assert read("0,0\n0,180\n0,180.5\n0,360\n0,-180\n").longitude.tolist() == [0, 180, -179.5, 0, -180]


def test_several_points_may_have_the_same_coordinates(read):
    assert len(read("1,2\n1,2")) == 2


# --- GeoJSON and tables ---


def feature(longitude, latitude, **members):
    geometry = {"type": "Point", "coordinates": [longitude, latitude]}
    return {"type": "Feature", "geometry": geometry, "properties": None} | members


@pytest.mark.parametrize(
    "second",
    [
        feature(-116.4, 43.5, properties={"point_id": "kuna", "name": "Kuna", "id": 7}),
        feature(243.6, 43.5, properties={"id": "kuna", "name": " Kuna\n"}),
        feature(-116.4, 43.5, id="kuna", properties={"name": "Kuna"}),
    ],
)
def test_geojson_features_are_read(read, second):
    first = feature(-116.2, 43.6, properties={"point_id": "boise", "name": "Boise"})
    points = read(json.dumps({"type": "FeatureCollection", "features": [first, second]}, indent=1))
    assert points.point_id == PAIR.point_id
    assert points.name == PAIR.name
    assert points.longitude == pytest.approx(PAIR.longitude)
    assert points.latitude.tolist() == PAIR.latitude.tolist()


@pytest.mark.parametrize(
    "document",
    [
        feature(2, 1),
        {"type": "Point", "coordinates": [2, 1, 800]},
        {"type": "MultiPoint", "coordinates": [[2, 1]]},
    ],
)
def test_a_single_feature_or_geometry_is_read(read, document):
    points = read("\ufeff\n " + json.dumps(document))
    assert (places(points), points.point_id) == ([(1, 2)], ("p0000",))


def test_a_table_is_read_like_csv_without_its_index():
    table = pd.DataFrame(
        {"Lon": [243.75, -116.5], "Latitude": [43.5, 44], "id": [7, 8], "name": ["x", None]}, index=[9, 9]
    )
    points = read_points(table)
    assert places(points) == [(43.5, -116.25), (44, -116.5)]
    assert (points.point_id, points.name) == (("7", "8"), ("x", "8"))


def test_points_are_returned_unchanged():
    assert read_points(PAIR) is PAIR


def multipoint(*positions, **members):
    return feature(0, 0, **members) | {"geometry": {"type": "MultiPoint", "coordinates": list(positions)}}


def test_every_position_of_a_multipoint_feature_is_a_point(read):
    farm = multipoint([2, 1], [4, 3, 800], id="farm", properties={"name": "Farm"})
    mast = multipoint([6, 5], properties={"id": "mast"})
    points = read(json.dumps({"type": "FeatureCollection", "features": [feature(8, 7, id="town"), farm, mast]}))
    assert points.point_id == ("town", "farm_0", "farm_1", "mast")
    assert points.name == ("town", "Farm", "Farm", "mast")
    assert places(points) == [(7, 8), (1, 2), (3, 4), (5, 6)]


def test_a_multipoint_feature_without_an_id_gets_default_ids(read):
    assert read(json.dumps(multipoint([2, 1], [4, 3]))).point_id == ("p0000", "p0001")


@pytest.mark.parametrize("positions", [[], [[1]], ["12"], None, [[2, 1], None]])
def test_a_multipoint_feature_with_an_invalid_position_or_none_is_reported(error_text, positions):
    document = feature(0, 0) | {"geometry": {"type": "MultiPoint", "coordinates": positions}}
    text = error_text(json.dumps({"type": "FeatureCollection", "features": [feature(1, 2), document]}))
    assert "  feature 1: it has no Point geometry with longitude and latitude" in text


def test_a_path_may_be_a_string(tmp_path):
    path = tmp_path / "points.txt"
    path.write_text("1,2")
    assert read_points(str(path)) == read_points(path)


# --- invalid rows ---


def test_all_invalid_rows_are_listed_with_line_text_and_reason(error_text):
    text = error_text(
        "# sites\npoint_id,latitude,longitude\n"
        "a,43.6,-116.2\n"
        "b,north,-116.2\n"
        "c,nan,-116.2\n"
        "d,43.6,inf\n"
        "\n"
        "e,-116.2,43.6\n"
        "f,95,-116.2\n"
        "g,43.6,361\n"
        "h,43.6\n"
        "i,,-116\n"
        "a,44,-116\n"
        ",44,-116\n"
        "j,43,6,-116,2\n"
        '"k,43,6\n'
        "l,4_3,6\n"
    )
    head, *lines = text.splitlines()
    assert head.endswith("points.csv': 13 of 14 points cannot be used; correct or remove them:")
    assert lines == [
        "  line 4: latitude 'north' is not a number, in 'b,north,-116.2'",
        "  line 5: latitude nan is not finite, in 'c,nan,-116.2'",
        "  line 6: longitude inf is not finite, in 'd,43.6,inf'",
        "  line 8: latitude -116.2 is not within -90 to 90 (perhaps swapped with longitude), in 'e,-116.2,43.6'",
        "  line 9: latitude 95 is not within -90 to 90, in 'f,95,-116.2'",
        "  line 10: longitude 361 is not within -180 to 180 or 0 to 360, in 'g,43.6,361'",
        "  line 11: longitude is missing, in 'h,43.6'",
        "  line 12: latitude is missing, in 'i,,-116'",
        "  line 13: point_id 'a' is already at line 3, in 'a,44,-116'",
        "  line 14: point_id is missing: give all or none, in ',44,-116'",
        "  line 15: wanted 3 fields, found 5, in 'j,43,6,-116,2'",
        "  line 16: it is not a line of CSV (unexpected end of data), in '\"k,43,6'",
        "  line 17: latitude '4_3' is not a number, in 'l,4_3,6'",
    ]


def test_lines_without_a_header_are_checked_too(error_text):
    text = error_text("43.6,-116.2\n43.6;-116.2\n43,6,-116,2\n")
    assert "line 2: longitude is missing" not in text
    assert "line 2: latitude '43.6;-116.2' is not a number" in text
    assert "line 3: wanted 2 fields, found 4" in text


def test_at_most_twenty_invalid_rows_are_listed(error_text):
    text = error_text("lat,lon\n" + "x,y\n" * 27)
    assert text.count("is not a number") == 20
    assert text.endswith("… and 7 more")


def test_long_rows_are_truncated_in_messages(error_text):
    assert max(map(len, error_text("lat,lon\n" + "x" * 5000 + ",1").splitlines())) < 300


def test_an_id_of_control_characters_is_refused(error_text):
    assert "control characters" in error_text("id,lat,lon\na\x07,1,2")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"type": "Feature", "geometry": None}, "no Point geometry"),
        ("nonsense", "no Point geometry"),
        (feature("east", 1), "longitude 'east' is not a number"),
        (feature(True, 1), "longitude True is not a number"),
        (feature(None, 1), "longitude is missing"),
        (feature(math.nan, 1), "longitude nan is not finite"),
        (feature(10**400, 1), "longitude 1000"),
        (feature([1], 1), "longitude [1] is not a number"),
        (feature(1, 1, id="\ud800"), "unpaired surrogates"),
        (feature(43.6, -116.2, id="b"), "swapped"),
    ],
)
def test_invalid_features_are_reported_by_position(error_text, bad, reason):
    text = error_text(json.dumps({"type": "FeatureCollection", "features": [feature(1, 2, id="a"), bad]}))
    assert "  feature 1: " in text
    assert reason in text


def test_invalid_rows_of_a_table_are_reported_by_position():
    with pytest.raises(PointsError, match="row 1: latitude is missing"):
        read_points(pd.DataFrame({"lat": [1, pd.NA], "lon": [2, 3]}))
    with pytest.raises(PointsError, match="row 0: latitude nan is not finite"):
        read_points(pd.DataFrame({"lat": [math.nan], "lon": [2]}))


# --- unusable files ---


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("# only\n# comments\n", "has no points"),
        ("latitude,longitude\n", "has no points"),
        ('{"type": "FeatureCollection", "features": []}', "has no points"),
        (b"PK\x03\x04\0\0", "binary"),
        ("1,2".encode("utf-16"), "UTF-16"),
        ("id,lat,lon\nMünchen,48,11".encode("latin-1"), "not UTF-8"),
        ("lattitude,longitude\n1,2", "found 'lattitude', 'longitude'; 'lattitude' may mean 'latitude'"),
        ("north,east\n1,2", "wanted comma-separated columns latitude and longitude; found 'north', 'east'"),
        ('"north,east\n1,2', "found '\"north,east'"),
        ("lat,latitude,lon\n1,2,3", "two columns for latitude, 'lat' and 'latitude'"),
        ("{broken", "wanted GeoJSON"),
        ("[1, 2]", "its type is 'list'"),
        ('{"type": "Polygon"}', "its type is 'Polygon'"),
        ("[" * 100_000, "wanted GeoJSON"),
    ],
)
def test_a_file_without_points_is_refused_with_the_reason(error_text, content, reason):
    assert reason in error_text(content)


def test_a_file_of_more_than_64_mib_is_refused(error_text, monkeypatch):
    monkeypatch.setattr(point_files, "_FILE_LIMIT_BYTES", 2**20)
    assert "larger than 1 MiB" in error_text("1,2\n" * 2**18 + "3,4")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent.csv", "does not exist; check its name"),
        ("32.3,-100.1", "write the line 32.3,-100.1 into a file and give its name"),
        ("s3://bucket/points.csv", "download it first"),
        (".", "is a directory"),
        ("a\0b", "cannot be opened"),
        ("a" * 5000, "cannot be opened"),
    ],
)
def test_a_path_that_cannot_be_opened_is_refused_with_the_reason(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PointsError, match=reason):
        read_points(path)


@pytest.mark.parametrize(("source", "reason"), [([(1, 2)], "found list"), (pd.DataFrame(), "found none")])
def test_another_type_and_an_empty_table_are_refused(source, reason):
    with pytest.raises(PointsError, match=reason):
        read_points(source)


# --- the Points class ---


def test_points_are_equal_if_all_their_fields_are():
    same = Points(PAIR.point_id, PAIR.name, PAIR.latitude.copy(), PAIR.longitude + 360)
    other = Points(PAIR.point_id, PAIR.name, PAIR.latitude, PAIR.longitude + 1)
    assert Points(("a",), ("a",), np.array([0.0]), np.array([-0.0])) == Points(("a",), ("a",), [-0.0], [360])
    assert same.longitude == pytest.approx(PAIR.longitude)
    assert pickle.loads(pickle.dumps(PAIR)) == PAIR
    assert hash(pickle.loads(pickle.dumps(PAIR))) == hash(PAIR)
    assert other != PAIR
    assert PAIR != "points"


def test_the_digest_is_stable_and_ignores_names():
    assert PAIR.digest() == "0df77e04b74073da"
    assert Points(PAIR.point_id, ("x", "y"), PAIR.latitude, PAIR.longitude).digest() == PAIR.digest()
    assert Points(("boise", "x"), PAIR.name, PAIR.latitude, PAIR.longitude).digest() != PAIR.digest()
    assert Points(PAIR.point_id, PAIR.name, PAIR.latitude + 1e-9, PAIR.longitude).digest() != PAIR.digest()


def test_points_are_immutable_also_after_pickling():
    for points in (PAIR, pickle.loads(pickle.dumps(PAIR))):
        with pytest.raises(ValueError, match="read-only"):
            points.latitude[0] = 0
        with pytest.raises(AttributeError):
            points.name = ()


def test_points_copy_the_arrays_of_the_caller():
    latitude = np.array([1.0])
    points = Points(("a",), ("a",), latitude, [2])
    latitude[0] = 5
    assert points.latitude.tolist() == [1.0]


def test_repr_is_short():
    assert repr(PAIR) == f"<Points: 2 from 'boise' to 'kuna', digest {PAIR.digest()}>"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (((), (), [], []), "are empty"),
        ((("a",), ("a",), [1, 2], [1, 2]), "one point_id, name, latitude and longitude for each"),
        ((("a", "a"), ("a", "a"), [1, 2], [1, 2]), "point 1: point_id 'a' is already at point 0"),
        ((("",), ("a",), [1], [1]), "point 0: point_id is missing"),
        ((("a",), ("a",), [91], [100]), "point 0: latitude 91 is not within"),
    ],
)
def test_the_constructor_validates_points(arguments, reason):
    with pytest.raises(PointsError, match=reason):
        Points(*arguments)


# --- selection and concatenation ---


def test_take_selects_points_in_the_given_order():
    taken = PAIR.take([1])
    assert (taken.point_id, taken.name) == (("kuna",), ("Kuna",))
    assert places(taken) == [(43.5, -116.4)]
    assert PAIR.take([1, 0]).point_id == ("kuna", "boise")
    assert PAIR.take(range(2)) == PAIR
    with pytest.raises(PointsError, match="are empty"):
        PAIR.take([])


def test_coordinates_maps_ids_to_latitude_and_longitude():
    assert PAIR.coordinates() == dict(zip(("boise", "kuna"), places(PAIR), strict=True))


def test_concat_appends_points_and_refuses_duplicate_ids():
    more = Points(("nampa",), ("Nampa",), np.array([43.54]), np.array([243.44]))
    both = PAIR.concat(more)
    assert both.point_id == ("boise", "kuna", "nampa")
    assert both.name == ("Boise", "Kuna", "Nampa")
    assert places(both) == places(PAIR) + places(more)
    assert PAIR.point_id == ("boise", "kuna")
    with pytest.raises(PointsError, match="point_id 'kuna' is already at point 1"):
        PAIR.concat(PAIR.take([1]))


@settings(deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_concat_restores_points_that_take_has_split(sizes):
    n, cut = sizes
    ids = tuple(f"p{k}" for k in range(n))
    points = Points(ids, ids[::-1], np.linspace(-90, 90, n), np.linspace(-180, 180, n))
    first = points.take(range(cut))
    whole = first if cut == n else first.concat(points.take(range(cut, n)))
    assert whole == points
    assert whole.digest() == points.digest()
    assert (first.digest() == points.digest()) == (cut == n)


# --- arbitrary input ---

in_one_file = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def check_valid_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        points = read_points(path)
    except PointsError:
        return
    assert len(points) > 0
    assert (np.abs(points.latitude) <= 90).all()
    assert (np.abs(points.longitude) <= 180).all()
    assert len(set(points.point_id)) == len(points)
    assert read_points(path).digest() == points.digest()


@in_one_file
@given(st.text() | st.text(alphabet='latlon,id"#\n\r0123456789.-+e ').map("lat,lon,id\n{}".format))
def test_arbitrary_text_is_read_or_refused(tmp_path, text):
    check_valid_or_refused(tmp_path / "any", text.encode("utf-8", "surrogatepass"))


@in_one_file
@given(st.binary())
def test_arbitrary_bytes_are_read_or_refused(tmp_path, content):
    check_valid_or_refused(tmp_path / "any", content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "id", "name"]) | st.text(), inner)
    ),
    max_leaves=8,
)
features = st.fixed_dictionaries(
    {"geometry": st.fixed_dictionaries({"type": st.just("Point"), "coordinates": json_values}) | json_values},
    optional={"id": json_values, "properties": json_values},
)


@in_one_file
@given(json_values | st.lists(features).map(lambda some: {"type": "FeatureCollection", "features": some}))
def test_arbitrary_json_is_read_or_refused(tmp_path, document):
    check_valid_or_refused(tmp_path / "any", json.dumps(document).encode())


@in_one_file
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1))
def test_coordinates_are_read_back_exactly(tmp_path, pairs):
    path = tmp_path / "pairs"
    path.write_text("latitude,longitude\n" + "\n".join(f"{latitude!r},{longitude!r}" for latitude, longitude in pairs))
    assert places(read_points(path)) == pairs


@pytest.mark.parametrize("number", ["\u0664\u0665", "\uff14\uff15", "\u221245", "4_5", "0x10", "1,5"])
def test_numbers_have_ascii_digits_only(error_text, number):
    assert "is not a number" in error_text(f'latitude,longitude\n"{number}",-116\n')


def test_duplicate_members_of_a_json_object_are_refused(error_text):
    text = '{"type": "Point", "coordinates": [-116, 43], "coordinates": [-100, 32]}'
    assert "'coordinates' occurs twice in one object" in error_text(text)


@pytest.mark.parametrize(("length", "fits"), [(256, True), (257, False)])
def test_the_length_of_ids_and_names_is_limited(read, error_text, length, fits):
    for row in (f"{'a' * length},x,43,-116", f"x,{'a' * length},43,-116"):
        text = f"point_id,name,latitude,longitude\n{row}\n"
        if fits:
            assert len(read(text)) == 1
        else:
            assert "its point_id or name has more than 256 characters" in error_text(text)


def test_a_file_with_too_many_points_is_refused_before_it_is_parsed(error_text, monkeypatch):
    monkeypatch.setattr(point_files, "_MAX_POINTS", 10)
    monkeypatch.setattr(point_files, "_MAX_BRACKETS", 80)
    monkeypatch.setattr(point_files, "_split", None)
    monkeypatch.setattr(point_files.json, "loads", None)
    assert "has 21 lines, at most 20 are read" in error_text("1,2\n" * 21)
    assert "has 21 lines, at most 20 are read" in error_text("1,2\r" * 21)
    assert "has 82 objects and arrays, at most 80 are read" in error_text('{"features": [' + "{}," * 80)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"type":"Point","coordinates":' + "[" * 100_000])
def test_deeply_nested_json_is_refused(error_text, text):
    assert "wanted GeoJSON" in error_text(text)
