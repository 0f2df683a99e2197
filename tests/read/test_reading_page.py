"""The examples of docs/reading.md run as they are printed, and give what the page says."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from support import needs
from support.paths import ROOT
from support.specs import SELECTION, all_pieces, commit, make_spec, partition_outcomes

from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.grid.points import Points
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.testing import GridWindow

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "reading.md").read_text(), flags=re.DOTALL)
PLACES = {"boise": (43.61, -116.2), "kboi": (43.5644, -116.2228), "roscoe": (43.4, -116.0), "x": (43.0, -116.1)}
USUAL = {"hrrr_dask", "json", "numpy", "xarray"}


def imports_of(block: str) -> list[str]:
    trees = ast.walk(ast.parse(block))
    names = [alias.name for tree in trees if isinstance(tree, ast.Import) for alias in tree.names]
    return [name for name in names if name.partition(".")[0] not in USUAL]


def needed_by(block: str) -> list[str]:
    """Optional packages; some are needed without an import in the block."""
    implied = {"NDPointIndex": "scipy", 'engine="scipy"': "scipy", "to_netcdf": "netCDF4"}
    return [*imports_of(block), *(name for text, name in implied.items() if text in block)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """The store of the page, of four points with lead times of 0, 1 and 24 hours."""
    latitude, longitude = np.array(list(PLACES.values())).T
    points = Points(tuple(PLACES), tuple(PLACES), latitude, longitude)
    selection = replace(SELECTION, lead_minutes=(0, 60, 1440))
    section = GridWindow(720, 350, 100, 100).section3()
    cells = find_point_cells(points, section, selection.method)
    spec = replace(make_spec(selection=selection), points=points, cells=cells, grid_section=section)
    root = tmp_path_factory.mktemp("page")
    made = Store(str(root / "farms.zarr"), {}, spec).make_or_grow(Growth())
    made.merge(0, all_pieces(0, points=(0, 4)))
    commit(made, *partition_outcomes(0, points=(0, 4)))
    publish_status(made, 0)
    return root


@pytest.fixture(scope="module")
def page(directory) -> dict[str, Any]:
    """The names that the examples define, without those that need what is not installed."""
    ran: dict[str, Any] = {}
    mpl.use("Agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        for number, block in enumerate(BLOCKS):
            if all(importlib.util.find_spec(name.partition(".")[0]) for name in needed_by(block)):
                exec(compile(block, f"docs/reading.md, example {number + 1}", "exec"), ran)
    return ran


def test_the_page_has_examples(page):
    assert len(BLOCKS) == 13
    assert page["day_ahead"].dims == ("init_time",)
    assert page["some"].point_id.values.tolist() == ["kboi", "roscoe"]
    assert page["table"].columns.tolist() == list(PLACES)
    assert len(page["frame"]) == 8 * 3 * 4
    assert page["larger"].temperature_2m.chunks is not None
    assert page["settings"]["format_version"] == 3


def test_an_error_is_nan_where_nothing_is_observed(page):
    known = page["forecast"].notnull()
    assert page["error"].isnull()[:2].all()
    np.testing.assert_allclose(page["error"][2:].where(known[2:], -0.5), -0.5)


@pytest.mark.parametrize("number", [n for n, block in enumerate(BLOCKS) if needed_by(block)])
def test_examples_with_optional_packages_ran(page, number):
    for name in needed_by(BLOCKS[number]):
        needs.extra(name)
    defined = [
        target.id for node in ast.parse(BLOCKS[number]).body if isinstance(node, ast.Assign) for target in node.targets
    ]
    assert set(defined) <= set(page)


def test_the_nearest_point_is_found(page):
    needs.extra("scipy")
    assert page["here"].point_id.item() == "boise"


def test_files_have_what_was_selected(page, directory):
    needs.extra("netCDF4")
    with xr.open_dataset(directory / "kboi.nc") as found:
        np.testing.assert_array_equal(found.temperature_2m, page["part"].temperature_2m)


def test_what_fails_with_plain_xarray_still_does(directory):
    """Otherwise the page can say less."""
    with pytest.raises(NotImplementedError, match="object dtype"):
        xr.open_zarr(directory / "farms.zarr", chunks="auto")
    with pytest.raises(ValueError, match="inconsistent chunks"):
        xr.open_zarr(directory / "farms.zarr").to_dask_dataframe()
    assert "hrrr_dask.read.accessor" in sys.modules
