"""The examples of docs/accessor.md, each run as written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import xarray as xr
from support.forecasts import CountingStore, forecasts, value
from support.paths import ROOT
from zarr.storage import LocalStore

import hrrr_dask
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.read import accessor  # noqa: F401  gives datasets their accessor

PAGE = (ROOT / "docs" / "accessor.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NAMES = ["temperature_2m", *(f"{axis}_component_wind_{level}m" for axis in "uv" for level in (10, 80))]
IDS = np.array(["kboi", "roscoe", "seoul"], dtype=object)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> dict[str, Any]:
    """The names that the examples define."""
    url = tmp_path_factory.mktemp("page") / "s.zarr"
    selectors = {name: str(CATALOG[name].selector) for name in NAMES}
    made = forecasts(range(0, 24, 6), range(25), n_days=4, start="2024-01-13", selectors=selectors)
    places = {"point_id": ("point", IDS), "longitude": ("point", [-116.0, -100.0, 127.0])}
    made.assign_coords(places).to_zarr(url, zarr_format=3, consolidated=False)
    ran: dict[str, Any] = {}
    reading: dict[int, list[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        store = CountingStore(LocalStore(url, read_only=True))
        opened = xr.open_zarr(store, chunks=None, consolidated=False).set_xindex("point_id")
        patch.setattr(hrrr_dask, "open_dataset", lambda _: opened)

        for number, block in enumerate(BLOCKS):
            store.take()
            exec(compile(block, f"docs/accessor.md, example {number + 1}", "exec"), ran)
            reading[number] = [key for key in store.take() if key.split("/")[0] in NAMES]
    return ran | {"reading": reading} | {"made": made.assign_coords(places)}


def test_the_page_has_an_example_of_every_method_it_names(page):
    methods = set(re.findall(r"\.hrrr\.(\w+)\(", "".join(BLOCKS)))
    assert methods == {
        "fixed_lead", "by_valid_time", "latest", "best_estimate", "lagged", "nearest", "wind", "to_frame",
    }  # fmt: skip
    assert methods <= set(dir(page["ds"].hrrr))


def test_only_tables_and_sums_of_xarray_read_variables(page):
    reading = {number for number, keys in page["reading"].items() if keys}
    assert reading == {k for k, block in enumerate(BLOCKS) if "to_frame(" in block or ".std(" in block}


def test_the_examples_give_what_the_page_says(page):
    made = page["made"]
    assert page["day_ahead"].temperature_2m.dims == ("valid_time", "point")
    assert page["both"].temperature_2m.dims == ("valid_time", "lead_time", "point")
    assert page["everything"].temperature_2m.dims == ("valid_time", "lead_time")
    assert page["ensemble"].dims == ("valid_time", "member", "point")
    assert page["spread"].dims == ("valid_time", "point")
    assert page["near"].point_id.values.tolist() == ["kboi", "roscoe"]
    assert page["known"].sizes["valid_time"] > 6
    xr.testing.assert_identical(page["temperature"].compute(), page["day_ahead"].temperature_2m.compute())
    for k, init in enumerate(made.init_time.values):
        expected = value(made, "temperature_2m", init, np.timedelta64(24, "h"))
        np.testing.assert_array_equal(page["temperature"].values[k], expected)
    low, high = (
        np.hypot(made[f"u_component_wind_{level}m"].values, made[f"v_component_wind_{level}m"].values).astype(float)
        for level in (10, 80)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha = np.log(high / low) / np.log(8)
    assert np.nanmax(np.abs(alpha)) < 0.6
    np.testing.assert_allclose(page["hub"].wind_speed, high * (100 / 80) ** alpha, rtol=1e-5)
    ratio = np.array([90, 120, 105]) / 80
    np.testing.assert_allclose(page["hubs"].wind_speed, high * ratio**alpha, rtol=1e-5)
    np.testing.assert_allclose(page["constant"].wind_speed, high * ratio**0.14, rtol=1e-5)


def test_the_tables_are_tidy_and_wide(page):
    table, wide = page["table"], page["wide"]
    assert table.columns.tolist() == ["valid_time", "init_time", "lead_hours", "point_id", "temperature_2m"]
    assert set(table.point_id) == {"kboi"}
    assert set(table.lead_hours) == {24}
    assert table.attrs["units"]["temperature_2m"] == "K"
    assert wide.columns.tolist() == ["kboi", "roscoe", "seoul"]
    np.testing.assert_array_equal(wide.kboi, table.temperature_2m)
