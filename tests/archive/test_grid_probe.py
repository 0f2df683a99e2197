"""Before the bulk: the files' grid is found, and points beyond it are named."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.archive.grid_probe import MAX_PROBED_FILES, find_point_cells, read_grid_section
from hrrr_dask.archive.sources import Source, parse_source
from hrrr_dask.catalog.products import object_key
from hrrr_dask.errors import NotPublishedError, PointsError, UnreachableError, WrongIdentityError
from hrrr_dask.grid.points import Points
from hrrr_dask.records import GribFile
from hrrr_dask.testing import DEFAULT_WINDOW, FaultServer, delete, truncate, write_archive
from hrrr_dask.testing.damage import move_to_other_grid

INITS = [datetime(2024, 1, 1, hour) for hour in range(3)]
SECTION = DEFAULT_WINDOW.section3()
AT_ONCE = FetchSettings(attempts=2, backoff_s=0)


@pytest.fixture
def archive(tmp_path):
    return write_archive(tmp_path, init_times=INITS, lead_hours=[0], variables=["temperature_2m"], decoys=False)


def points_at(latitude, longitude) -> Points:
    ids = tuple(f"site{k}" for k in range(len(latitude)))
    return Points(ids, ids, np.asarray(latitude), np.asarray(longitude))


def test_the_grid_is_that_of_the_first_file(archive):
    assert read_grid_section(archive.files, [parse_source(str(archive.root))], AT_ONCE) == SECTION


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_grid_that_the_next_file_does_not_have_places_no_points(archive, wrong):
    path = archive.path(archive.files[wrong])
    path.write_bytes(move_to_other_grid(path.read_bytes()))
    with pytest.raises(WrongIdentityError, match=r"grib2 has a Lambert .*: one of them is not what its name"):
        read_grid_section(archive.files, [parse_source(str(archive.root))], AT_ONCE)
    assert len(archive.files) > 2
    delete(archive, archive.files[1 - wrong])
    assert read_grid_section(archive.files[:2], [parse_source(str(archive.root))], AT_ONCE)[:38] == SECTION[:38]


def test_files_that_are_not_there_are_passed_over(archive):
    delete(archive, archive.files[0])
    delete(archive, archive.files[1])
    assert read_grid_section(archive.files, [parse_source(str(archive.root))], AT_ONCE) == SECTION


def test_sources_are_tried_in_their_order_for_each_file(archive, tmp_path):
    (tmp_path / "empty").mkdir()
    sources = [parse_source(str(tmp_path / "empty")), parse_source(str(archive.root))]
    assert read_grid_section(archive.files[:1], sources, AT_ONCE) == SECTION


@pytest.mark.parametrize("nbytes", [0, 10, 100])
def test_a_truncated_file_is_passed_over(archive, nbytes):
    truncate(archive, archive.files[0], nbytes)
    assert read_grid_section(archive.files, [parse_source(str(archive.root))], AT_ONCE) == SECTION


def test_an_archive_without_any_of_the_files_says_which_it_looked_for_first(archive):
    missing = [GribFile(datetime(2023, 1, 1, hour), 0) for hour in range(3)]
    with pytest.raises(
        NotPublishedError, match=r"none of the first 3 files is in the archive, .*hrrr\.20230101.*first"
    ):
        read_grid_section(missing, [parse_source(str(archive.root))], AT_ONCE)


def test_it_gives_up_after_some_files(archive):
    missing = [GribFile(datetime(2023, 1, 1 + day, hour), 0) for day in range(9) for hour in range(24)]
    with pytest.raises(NotPublishedError, match=f"none of the first {MAX_PROBED_FILES} files"):
        read_grid_section(missing, [parse_source(str(archive.root))], AT_ONCE)


def test_what_is_no_grib_is_said_when_nothing_else_is_there(archive):
    for file in archive.files:
        archive.path(file).write_bytes(b"<html>" * 100)
    with pytest.raises(WrongIdentityError):
        read_grid_section(archive.files, [parse_source(str(archive.root))], AT_ONCE)


def test_a_source_that_does_not_answer_ends_the_search_unless_another_has_the_file(archive):
    key = "/" + object_key(archive.files[0])
    with FaultServer({}, {key: ["503"] * 4}) as server:
        dead, alive = Source("dead", server.url), parse_source(str(archive.root))
        assert read_grid_section(archive.files, [dead, alive], AT_ONCE) == SECTION
        with pytest.raises(UnreachableError):
            read_grid_section(archive.files, [dead], AT_ONCE)


@pytest.mark.parametrize(("method", "neighbours"), [("nearest", 1), ("bilinear", 4)])
def test_points_on_the_grid_get_their_cells(method, neighbours):
    latitude, longitude = DEFAULT_WINDOW.latlon(np.array([3, 20]), np.array([7, 30]))
    cells = find_point_cells(points_at(latitude, longitude), SECTION, method)
    assert cells.index.shape == (2, neighbours)
    assert (cells.y.tolist(), cells.x.tolist()) == ([3, 20], [7, 30])


def test_every_point_beyond_the_grid_is_named_with_its_distance():
    latitude, longitude = DEFAULT_WINDOW.latlon(np.array([3, 3, -2]), np.array([7, -2, 7]))
    with pytest.raises(PointsError) as caught:
        find_point_cells(points_at(latitude, longitude), SECTION, "nearest")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 of 3 points are outside the grid of the files (Lambert conformal grid of 32 x 24")
    assert lines[1].startswith("  site1 (")
    assert lines[1].endswith("lies 4.5 km beyond its edge")  # 2 cells of 3 km, less the half cell of the rim
    assert lines[2].startswith("  site2 (")
    assert lines[3] == "Remove them from the points file, or choose another --domain"


def test_the_rim_serves_nearest_and_not_bilinear():
    latitude, longitude = DEFAULT_WINDOW.latlon(np.array([-0.4]), np.array([5.0]))
    assert find_point_cells(points_at(latitude, longitude), SECTION, "nearest").y.tolist() == [0]
    with pytest.raises(PointsError, match="1 of 1 points"):
        find_point_cells(points_at(latitude, longitude), SECTION, "bilinear")


def test_twenty_points_are_named_and_the_rest_counted():
    with pytest.raises(PointsError, match="… and 5 more"):
        find_point_cells(points_at(np.linspace(50, 51, 25), np.linspace(-80, -79, 25)), SECTION, "nearest")
