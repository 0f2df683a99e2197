"""Tidy tables: against loops over every run, lead time and point, and with the requests counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support.forecasts import HOUR, SELECTORS, CountingStore, forecasts
from zarr.storage import LocalStore

from hrrr_dask.errors import PointsError, UsageError
from hrrr_dask.read import accessor  # noqa: F401  gives datasets their accessor
from hrrr_dask.read.ensembles import lagged
from hrrr_dask.read.exports import to_frame
from hrrr_dask.read.forecasts import best_estimate, by_valid_time, fixed_lead

TIMES = ["valid_time", "init_time", "lead_hours"]


def rows_of(ds: xr.Dataset, points: list[int], names: list[str], dropna: bool) -> list[tuple[Any, ...]]:
    """All rows of a store, run by run."""
    rows = []
    for i, init in enumerate(ds.init_time.values):
        for j, lead in enumerate(ds.lead_time.values):
            for k in points:
                values = [float(ds[name].values[i, j, k]) for name in names]
                if not (dropna and np.isnan(values).all()):
                    rows.append((init + lead, init, lead / HOUR, str(ds.point_id.values[k]), *values))
    return rows


def check_rows(frame: pd.DataFrame, expected: list[tuple[Any, ...]]) -> None:
    assert len(frame) == len(expected)
    assert frame.index.equals(pd.RangeIndex(len(expected)))
    for column, values in zip(frame.columns, zip(*expected, strict=True), strict=True):
        wanted = np.array(values)
        np.testing.assert_array_equal(frame[column].to_numpy(dtype=wanted.dtype), wanted)


@pytest.mark.parametrize("dropna", [True, False])
@pytest.mark.parametrize("chunks", [None, {}], ids=["memory", "dask"])
def test_a_row_for_each_forecast_and_point(dropna, chunks):
    ds = forecasts()
    frame = to_frame(ds if chunks is None else ds.chunk(chunks), dropna=dropna)
    assert frame.columns.tolist() == [*TIMES, "point_id", *SELECTORS]
    expected = rows_of(ds, [0, 1, 2], list(SELECTORS), dropna)
    assert (len(expected) < ds.status.size * 3) == dropna
    check_rows(frame, expected)
    assert frame.valid_time.dtype.kind == frame.init_time.dtype.kind == "M"
    assert frame.temperature_2m.dtype == np.float32
    pd.testing.assert_frame_equal(ds.hrrr.to_frame(dropna=dropna), frame)


def test_some_points_and_variables():
    ds = forecasts()
    check_rows(to_frame(ds, "p1", "precipitation_1h"), rows_of(ds, [1], ["precipitation_1h"], True))
    two = to_frame(ds, ["p2", "p0"], ["solar_15min", "temperature_2m"])
    check_rows(two, rows_of(ds, [2, 0], ["solar_15min", "temperature_2m"], True))
    again = to_frame(ds.isel(point=1), variables=["precipitation_1h"])
    pd.testing.assert_frame_equal(again, to_frame(ds, "p1", "precipitation_1h"))
    pd.testing.assert_frame_equal(to_frame(ds.transpose("point", ...)), to_frame(ds))


def test_units_are_attributes_of_the_table():
    frame = to_frame(forecasts())
    units = dict.fromkeys(SELECTORS, "kg m-2") | {"temperature_2m": "K", "lead_hours": "h"}
    assert frame.attrs == {"units": units}


@pytest.mark.parametrize(("leads", "kind"), [([0, 1, 6], "i"), ([0, 0.25, 1], "f"), ([1.75], "f"), ([24], "i")])
def test_lead_times_are_whole_hours_unless_there_are_quarters(leads, kind):
    frame = to_frame(forecasts(leads=leads), "p0", "temperature_2m")
    assert frame.lead_hours.dtype.kind == kind
    assert sorted(frame.lead_hours.unique()) == leads


def test_a_table_of_what_the_other_methods_return():
    ds = forecasts()
    whole = to_frame(ds, variables="temperature_2m").set_index(["init_time", "lead_hours", "point_id"])
    for asked in (fixed_lead(ds, 6), fixed_lead(ds, [0, 6]), by_valid_time(ds), best_estimate(ds), lagged(ds, 3)):
        frame = to_frame(asked, variables="temperature_2m")
        assert len(frame) == np.isfinite(asked.temperature_2m.values).sum() > 0
        assert frame.columns.tolist()[:3] == TIMES
        assert (frame.valid_time == frame.init_time + pd.to_timedelta(frame.lead_hours, "h")).all()
        keys = pd.MultiIndex.from_frame(frame[["init_time", "lead_hours", "point_id"]])
        np.testing.assert_array_equal(whole.temperature_2m.loc[keys], frame.temperature_2m)
    members = to_frame(lagged(ds, 3), "p1")
    assert members.columns.tolist() == [*TIMES, "member", "point_id", *SELECTORS]
    newest = members[members.member == 0].set_index("valid_time").init_time
    older = members[members.member == 1].set_index("valid_time").init_time
    assert (newest.loc[older.index] > older).all()


def test_rows_without_a_forecast_have_no_times_if_they_are_kept():
    frame = to_frame(lagged(forecasts(), 3), "p1", "temperature_2m", dropna=False)
    missing = frame.init_time.isna()
    assert 0 < missing.sum() < len(frame)
    assert frame.valid_time.notna().all()
    assert frame.lead_hours.isna().equals(missing)


def test_an_array_is_a_table_of_one_variable():
    ds = forecasts()
    frame = ds.temperature_2m.hrrr.to_frame("p1")
    pd.testing.assert_frame_equal(frame, to_frame(ds, "p1", "temperature_2m"))
    kelvin = (ds.temperature_2m - 273.15).rename(None)
    assert kelvin.hrrr.to_frame().columns.tolist() == [*TIMES, "point_id", "value"]


def test_coordinates_may_be_columns_and_points_may_have_no_names():
    ds = forecasts()
    frame = to_frame(ds, "p0", ["temperature_2m", "status", "latitude"])
    assert frame.columns.tolist() == [*TIMES, "point_id", "temperature_2m", "status", "latitude"]
    assert (frame.latitude == 40).all()
    expected = [ds.status.sel(init_time=row.init_time, lead_time=row.lead_hours * HOUR) for row in frame.itertuples()]
    assert frame.status.tolist() == [int(value) for value in expected]
    assert to_frame(ds.drop_vars("point_id")).point.unique().tolist() == [0, 1, 2]
    assert to_frame(ds, variables="latitude").columns.tolist() == ["point_id", "latitude"]


def test_what_is_not_there_is_refused():
    ds = forecasts()
    with pytest.raises(UsageError, match=r"variable 'temperature' is not in this dataset: .* such as temperature_2m"):
        to_frame(ds, variables="temperature")
    with pytest.raises(PointsError, match="point 'kboi' is not in this dataset"):
        to_frame(ds, "kboi")
    with pytest.raises(UsageError, match="a table needs variables"):
        to_frame(ds[[]])
    with pytest.raises(UsageError, match="a table needs variables"):
        to_frame(ds, variables=[])


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_only_the_selected_variables_at_the_selected_points_are_read(chunks, tmp_path):
    made = forecasts(range(24), range(3), n_days=2)
    encoding: dict[str, Any] = {name: {"chunks": (24, 3, 1)} for name in SELECTORS}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    ds = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)
    store.take()
    frame = to_frame(ds, "p2", ["temperature_2m"])
    check_rows(frame, rows_of(made, [2], ["temperature_2m"], True))
    keys = store.take()
    assert set(keys) == {"point_id/c/0", "temperature_2m/c/0/0/2", "temperature_2m/c/1/0/2"}
    assert len([key for key in keys if key.startswith("temperature")]) == 2
