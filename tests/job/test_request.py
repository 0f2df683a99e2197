"""Requests that are refused before the archive is read."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

import hrrr_dask
from hrrr_dask.errors import PointsError
from hrrr_dask.grid.points import Points
from hrrr_dask.testing import DEFAULT_WINDOW, GridWindow, write_archive

DAY = ("2024-01-01", "2024-01-01")
BOISE, ANCHORAGE, LONDON = (43.6, -116.2), (61.2, -149.9), (51.5, -0.1)


def points_at(*places) -> Points:
    ids = tuple(f"site{k}" for k in range(len(places)))
    return Points(ids, ids, *np.array(places).T)


@pytest.fixture
def plan(tmp_path):
    """Plan a day with an empty directory as the archive."""
    return lambda points, **settings: hrrr_dask.plan(points, *DAY, source=str(tmp_path), **settings)


def test_a_plan_refuses_points_outside_the_grid_of_the_domain_without_the_archive(plan):
    with pytest.raises(PointsError) as caught:
        plan(points_at(BOISE, ANCHORAGE, LONDON))
    head, first, second, advice = str(caught.value).splitlines()
    assert head.startswith("2 of 3 points are outside the conus grid of HRRR (Lambert conformal grid of 1799 x 1059")
    assert (first.split()[0], second.split()[0]) == ("site1", "site2")
    assert advice == "Remove them from the points file, or choose another --domain"


def test_each_domain_has_its_own_grid(plan):
    assert plan(points_at(BOISE)).n_files
    assert plan(points_at(ANCHORAGE), domain="alaska").n_files
    with pytest.raises(PointsError, match="outside the alaska grid of HRRR"):
        plan(points_at(BOISE), domain="alaska")


@pytest.mark.parametrize("domain", ["conus", "alaska"])
@pytest.mark.parametrize(("method", "margin"), [("nearest", 0.5), ("bilinear", 0.0)])
def test_a_plan_refuses_only_what_no_file_has_whichever_model_version(plan, domain, method, margin):
    window = GridWindow.whole(domain)
    within, beyond = (
        points_at(*zip(*window.latlon([-margin - off, 500.0], [600.0, window.nx - 1 + margin + off]), strict=True))
        for off in (0.04, 0.1)  # the first cells of versions 1 and 2 are 53 m off, 0.02 of a cell
    )
    plan(within, domain=domain, method=method)
    with pytest.raises(PointsError, match="2 of 2 points"):
        plan(beyond, domain=domain, method=method)


def test_a_backfill_refuses_them_before_it_reads_the_archive_too(tmp_path):
    with pytest.raises(PointsError, match="outside the conus grid of HRRR"):
        hrrr_dask.backfill(points_at(LONDON), *DAY, tmp_path / "x.zarr", source=str(tmp_path))
    assert not (tmp_path / "x.zarr").exists()


def test_a_plan_does_not_know_which_window_of_the_grid_an_archive_has(tmp_path):
    inits = [datetime(2024, 1, 1)]
    archive = write_archive(tmp_path, init_times=inits, lead_hours=[0], variables=["temperature_2m"], decoys=False)
    latitude, longitude = DEFAULT_WINDOW.latlon(-50, -50)
    assert hrrr_dask.plan(points_at((latitude, longitude)), *DAY, source=str(archive.root)).n_files
