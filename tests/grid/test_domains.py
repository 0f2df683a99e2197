"""The grids of the two domains, and the check that points lie on a grid."""

from __future__ import annotations

import numpy as np
import pytest
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.catalog.products import DOMAINS
from hrrr_dask.errors import PointsError
from hrrr_dask.grid.definition import NEAREST_MARGIN, read_grid
from hrrr_dask.grid.domains import DOMAIN_GRIDS, refuse_outside
from hrrr_dask.grid.points import Points
from hrrr_dask.testing import GridWindow


def points_at(latitude, longitude) -> Points:
    ids = tuple(f"site{k}" for k in range(len(latitude)))
    return Points(ids, ids, np.asarray(latitude), np.asarray(longitude))


def test_every_domain_has_a_grid():
    assert set(DOMAIN_GRIDS) == set(DOMAINS)


@needs.real_bytes
@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("hrrr.20230722.t06z.wrfsfcf01.TMP-surface.grib2", "conus"),
        ("hrrr.20201214.t00z.wrfsfcf12.APCP-two-windows.grib2", "conus"),
        ("hrrr.20260703.t00z.wrfsfcf28.DPT-2m.grib2", "conus"),
        ("hrrr.20240101.t00z.wrfsfcf00.ak.REFC.grib2", "alaska"),
    ],
)
def test_the_grid_of_a_domain_is_that_of_real_messages(name, domain):
    content = (SHARED_DATA / "messages" / name).read_bytes()
    start = 16
    while content[start + 4] != 3:
        start += int.from_bytes(content[start : start + 4])
    assert read_grid(content[start : start + int.from_bytes(content[start : start + 4])]) == DOMAIN_GRIDS[domain]


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_synthetic_archive_has_the_grid_of_a_domain(domain):
    assert read_grid(GridWindow.whole(domain).section3()) == DOMAIN_GRIDS[domain]


@pytest.mark.parametrize("domain", DOMAINS)
def test_points_on_the_rim_are_in_and_points_beyond_it_are_named(domain):
    grid = DOMAIN_GRIDS[domain]
    rim = grid.latlon([-0.49, grid.ny - 0.51, 5, 5], [5, 5, -0.49, grid.nx - 0.51])
    refuse_outside(points_at(*rim), grid, NEAREST_MARGIN, "the grid")
    beyond = grid.latlon([5, -0.51], [5, 5])
    with pytest.raises(PointsError, match=r"1 of 2 points are outside the grid \((?s:.*)  site1 \("):
        refuse_outside(points_at(*beyond), grid, NEAREST_MARGIN, "the grid")


def test_a_tolerance_lets_points_just_beyond_the_rim_pass():
    grid = DOMAIN_GRIDS["conus"]
    near, far = (points_at(*grid.latlon([-0.5 - metres / 3000], [900])) for metres in (100, 250))
    refuse_outside(near, grid, NEAREST_MARGIN, "the grid", tolerance_m=150)
    with pytest.raises(PointsError, match=r"lies 0\.[12] km beyond its edge"):
        refuse_outside(far, grid, NEAREST_MARGIN, "the grid", tolerance_m=150)
