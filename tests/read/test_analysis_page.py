"""The examples of docs/analysis.md, run as written on a store of the demo's places and times."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from support import needs
from support.forecasts import MINUTE, forecasts
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.demo import CYCLES, LEAD_HOURS, POINTS, START

PAGE = (ROOT / "docs" / "analysis.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SELECTORS = {
    "temperature_2m": "TMP:2 m above ground:instant",
    "visible_beam_downward_solar_flux": "VBDSF:surface:instant",
    "visible_diffuse_downward_solar_flux": "VDDSF:surface:instant",
}


def write_store(path: Path) -> None:
    made = forecasts(CYCLES, LEAD_HOURS, 2, seed=5, start=f"{START:%Y-%m-%d}", selectors=SELECTORS)
    for number, name in enumerate(SELECTORS):
        made[name] = made[name] / 100 + 280 if number == 0 else made[name].clip(0, 900)
        made[name].attrs = {"hrrr_selector": SELECTORS[name], "units": "W m-2" if number else "K"}
    columns = zip(("point_id", "name", "latitude", "longitude"), zip(*POINTS, strict=True), strict=True)
    places = {
        key: ("point", np.array(column, dtype=object if key in ("point_id", "name") else float))
        for key, column in columns
    }
    made.assign_coords(places).to_zarr(path, zarr_format=3, consolidated=False)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[dict[str, Any]]:
    """The names that the examples define."""
    needs.extra("pvlib")
    needs.extra("scores")
    path = tmp_path_factory.mktemp("page") / "demo.zarr"
    write_store(path)
    ran: dict[str, Any] = {}

    def open_store(url: str) -> xr.Dataset:
        assert url == path.name
        return xr.open_zarr(path, chunks=None, consolidated=False).set_xindex("point_id")

    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        mpl.rc_context({"backend": "Agg"}),
    ):
        warnings.simplefilter("error")
        patch.setattr(hrrr_dask, "open_dataset", open_store)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"docs/analysis.md, example {number + 1}", "exec"), ran)
    yield ran
    plt.close("all")


def test_the_page_has_examples(page):
    assert len(BLOCKS) == 7
    assert page["farm"].point_id.item() == POINTS[0][0]


def test_pictures_are_of_the_place_and_in_the_units_that_are_said(page):
    assert len(page["ax"].get_lines()) == 7, "six runs and the analyses"
    for name in ("ax", "picture"):
        assert page[name].get_title(loc="left") == POINTS[0][1]
    assert page["skill"].get_ylabel() == "error (°C)"


def test_errors_have_the_pairs_that_the_page_says(page):
    assert page["rmse"].notna().sum() > 3
    assert set(page["scores"].data_vars) == {"bias", "mae", "rmse", "crps", "n", "members"}
    whole, found = page["farm"].temperature_2m.compute(), page["against_station"]
    pairs = 0
    for lead, number in zip(found.lead_time.values, found.n.values, strict=True):
        of_times = [time - lead for time in page["observed"]["valid_time"].dt.tz_localize(None).to_numpy()]
        there = whole.sel(lead_time=lead).sel(init_time=np.intersect1d(of_times, whole.init_time.values))
        assert number == there.count()
        pairs += number
    assert pairs > 5


def test_irradiance_is_what_pvlib_takes(page):
    assert list(page["hours"].data_vars) == ["ghi", "dni", "dhi"]
    assert page["instants"].ghi.chunks is not None
    times = page["run"].valid_time.values
    assert (page["middle"].tz_localize(None).to_numpy() == times - 30 * MINUTE).all()
    plane = page["plane"]["poa_global"]
    assert np.isnan(plane.iloc[0])
    assert plane.max() > 0
