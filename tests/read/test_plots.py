"""Pictures of a place: what is drawn are the store's values, and what is read is what is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from support.forecasts import HOUR, CountingStore, forecasts
from zarr.storage import LocalStore

import hrrr_dask.read.accessor  # noqa: F401  gives datasets their accessor
from hrrr_dask.errors import ConfigError, PointsError, UsageError
from hrrr_dask.outcomes import NOT_INGESTED
from hrrr_dask.read.plots import plot_leads, plot_runs
from hrrr_dask.read.skill import errors

SELECTORS = {"temperature_2m": "TMP:2 m above ground:instant", "precipitation_1h": "APCP:surface:1 hour acc"}


def made(**options: Any) -> xr.Dataset:
    """Distinct values about a mild day, with gaps, and a name for each place."""
    ds = forecasts(**{"selectors": SELECTORS, **options})
    ds["temperature_2m"] = ds.temperature_2m / 100 + 280
    ds.temperature_2m.attrs = {"units": "K", "long_name": "air temperature at 2 m"}
    return ds.assign_coords(name=("point", np.array([f"Place {k}" for k in range(3)], dtype=object)))


@pytest.fixture(autouse=True)
def _no_screen() -> Iterator[None]:
    with mpl.rc_context({"backend": "Agg"}):
        yield
    plt.close("all")


def lines_of(ax: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in ax.get_lines()}


def drawn_times(line: Any) -> np.ndarray:
    return np.asarray(line.get_xdata(), dtype="datetime64[ns]")


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


# --- plot_runs ---


def test_every_run_is_a_line_and_the_newest_is_the_darkest():
    ds = made()
    ax = plot_runs(ds, "temperature_2m", "p1")
    lines = [line for line in ax.get_lines() if line.get_marker() != "o"]
    assert len(lines) == 12
    for k, line in enumerate(lines):
        np.testing.assert_array_equal(drawn_times(line), ds.valid_time.values[k])
        np.testing.assert_allclose(line.get_ydata(), ds.temperature_2m.values[k, :, 1])
    lightness = [sum(to_rgb(line.get_color())) for line in lines]
    assert (np.diff(lightness) < 0).all()
    assert lightness[0] < 2.6, "legible on white"
    assert ax.get_title(loc="left") == "Place 1"
    assert ax.get_ylabel() == "air temperature at 2 m (K)"
    assert ax.get_xlabel() == "valid time (UTC)"
    assert legend_of(ax) == [
        "oldest: 2024-07-01 00:00 UTC",
        "newest: 2024-07-03 18:00 UTC",
        "analysis (lead time 0)",
    ]
    ax.figure.canvas.draw()


def test_analyses_are_dots_at_all_times_that_the_lines_span():
    ds = made()
    ax = plot_runs(ds, "temperature_2m", "p1", runs=slice("2024-07-01T06", "2024-07-02T00"))
    dots = lines_of(ax)["analysis (lead time 0)"]
    expected = [i for i, init in enumerate(ds.init_time.values) if "2024-07-01T06" <= str(init)[:13] <= "2024-07-02T18"]
    np.testing.assert_array_equal(drawn_times(dots), ds.init_time.values[expected])
    np.testing.assert_allclose(dots.get_ydata(), ds.temperature_2m.values[expected, 0, 1])
    assert dots.get_linestyle() == "None"
    without = plot_runs(ds.isel(lead_time=slice(1, None)), "temperature_2m", "p1")
    assert len(without.get_lines()) == 12


@pytest.mark.parametrize(
    ("runs", "count"),
    [(3, 3), (np.int64(2), 2), (None, 12), ("2024-07-02", 4), (slice("2024-07-03", None), 4), (["2024-07-01T06"], 1),
     (np.array(["2024-07-01T06", "2024-07-03"], dtype="datetime64[ns]"), 2), ("2024-07-01T06", 1), (99, 12)],
    ids=repr,
)  # fmt: skip
def test_runs_are_chosen_by_number_or_time(runs, count):
    ax = plot_runs(made(leads=[1, 2, 6]), "temperature_2m", "p0", runs=runs)
    assert len(ax.get_lines()) == count
    if count == 3:
        assert legend_of(ax) == ["oldest: 2024-07-03 06:00 UTC", "newest: 2024-07-03 18:00 UTC"]
    if count == 1:
        assert legend_of(ax) == ["run: 2024-07-01 06:00 UTC"]


def test_the_newest_runs_are_those_that_were_read():
    """A store has all runs of its last day, also those that have not begun."""
    ds = made()
    inits = np.sort(ds.init_time.values)
    read = ds.init_time.isin(inits[:-2])
    ds = ds.assign_coords(status=ds.status.where(read, NOT_INGESTED).astype(np.uint8))
    texts = legend_of(plot_runs(ds, "temperature_2m", "p0", runs=3))
    assert texts[1] == f"newest: {pd.Timestamp(inits[-3]):%Y-%m-%d %H:%M} UTC"
    ds = ds.assign_coords(status=xr.full_like(ds.status, NOT_INGESTED))
    texts = legend_of(plot_runs(ds, "temperature_2m", "p0", runs=3))
    assert texts[1] == f"newest: {pd.Timestamp(inits[-1]):%Y-%m-%d %H:%M} UTC", "no run was read"


@pytest.mark.parametrize("runs", [0, -1, "2023-07-02", "soon", ["2024-07-01T05"], slice("2025", None), []], ids=repr)
def test_runs_that_do_not_exist_are_refused(runs):
    with pytest.raises(UsageError, match=r"no runs of this dataset, which is from 2024-07-01 00:00 UTC to 2024-07-03"):
        plot_runs(made(), "temperature_2m", "p0", runs=runs)


def test_units_are_those_that_are_wanted():
    ds = made()
    ax = plot_runs(ds, "temperature_2m", "p1", units="degC", runs=1)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), ds.temperature_2m.values[-1, :, 1] - 273.15, rtol=1e-6)
    assert ax.get_ylabel() == "air temperature at 2 m (°C)"
    ax = plot_runs(ds, "temperature_2m", "p1", units="degF", runs=1)
    fahrenheit = (ds.temperature_2m.values[-1, :, 1] - 273.15) * 9 / 5 + 32
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), fahrenheit, rtol=1e-5)
    with pytest.raises(ConfigError, match="temperature_2m in K cannot be drawn in 'm': give degC or degF"):
        plot_runs(ds, "temperature_2m", "p1", units="m")
    ds.temperature_2m.attrs["units"] = "m s-1"
    assert plot_runs(ds, "temperature_2m", "p1").get_ylabel() == "air temperature at 2 m (m/s)"
    knots = plot_runs(ds, "temperature_2m", "p1", units="knot", runs=1).get_lines()[0].get_ydata()
    np.testing.assert_allclose(knots, ds.temperature_2m.values[-1, :, 1] * 1.943844, rtol=1e-6)
    ds.temperature_2m.attrs = {}
    assert plot_runs(ds, "temperature_2m", "p1").get_ylabel() == "temperature_2m"


def test_drawn_on_given_axes_and_for_selections():
    ds = made()
    ax = plt.figure().add_subplot()
    assert plot_runs(ds, "temperature_2m", "p1", ax=ax) is ax
    assert plot_leads(ds, "temperature_2m", "p1", ax=plt.figure().add_subplot()) is not ax
    one = ds.isel(point=1)
    assert plot_runs(one, "temperature_2m").get_title(loc="left") == "Place 1"
    assert plot_runs(ds.isel(point=[1]), "temperature_2m").get_title(loc="left") == "Place 1"
    assert plot_runs(one.drop_vars("name"), "temperature_2m").get_title(loc="left") == "p1"
    assert len(plot_runs(one.isel(init_time=0), "temperature_2m").get_lines()) == 2
    plot_runs(one.isel(lead_time=2), "temperature_2m").figure.canvas.draw()
    xr.testing.assert_identical(ds, made())
    assert len(ds.hrrr.plot_runs("temperature_2m", "p1", runs=2).get_lines()) == 3


@pytest.mark.parametrize("plot", [plot_runs, plot_leads])
def test_what_is_not_there_is_refused_and_its_like_named(plot):
    ds = made()
    with pytest.raises(UsageError, match=r"variable 'temperature_2' is not in .*: give one such as temperature_2m"):
        plot(ds, "temperature_2", "p1")
    with pytest.raises(PointsError, match="point 'p9' is not in this dataset: give a point_id such as p2, p1, p0"):
        plot(ds, "temperature_2m", "p9")
    with pytest.raises(PointsError, match=r"has 3 points: say which one to draw, such as point='\w+'"):
        plot(ds, "temperature_2m")
    with pytest.raises(UsageError, match="with the times init_time and lead_time"):
        plot(xr.Dataset(), "temperature_2m")


@pytest.mark.parametrize(("kind", "options"), [("plot_runs", {"runs": 2}), ("plot_leads", {"kind": "errors"})])
def test_a_variable_is_drawn_as_by_its_dataset(kind, options):
    ds = made()
    by_array = getattr(ds.temperature_2m.hrrr, kind)("p1", **options)
    by_dataset = getattr(ds.hrrr, kind)("temperature_2m", "p1", **options)
    assert by_array.get_ylabel() == by_dataset.get_ylabel()
    assert len(by_array.get_lines()) >= 3
    for one, other in zip(by_array.get_lines(), by_dataset.get_lines(), strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())


# --- plot_leads: values ---


def test_the_picture_has_runs_along_x_and_lead_times_along_y():
    ds = made()
    ax = plot_leads(ds, "temperature_2m", "p2", units="degC")
    (mesh,) = ax.collections
    shown = np.ma.filled(mesh.get_array(), np.nan)
    np.testing.assert_allclose(shown, ds.temperature_2m.values[..., 2].T - 273.15, rtol=1e-5)
    corners = mesh.get_coordinates()
    days = mdates.date2num(ds.init_time.values)
    for k in range(12):
        assert corners[0, k, 0] == pytest.approx(days[k] - 0.125)
        assert corners[0, k + 1, 0] == pytest.approx(days[k] + 0.125)
    for j, hours in enumerate((0, 1, 2, 3, 6, 12, 18)):
        assert corners[j, 0, 1] < hours < corners[j + 1, 0, 1]
    assert ax.get_title(loc="left") == "Place 2"
    assert ax.get_ylabel() == "lead time (h)"
    assert ax.get_xlabel() == "start of the run (UTC); grey: no value"
    assert ax.figure.axes[1].get_ylabel() == "air temperature at 2 m (°C)"
    ax.figure.canvas.draw()


def test_missing_runs_are_a_gap_of_their_own_width():
    ds = made().isel(init_time=[0, 1, 2, 8, 9])
    (mesh,) = plot_leads(ds, "temperature_2m", "p2").collections
    shown = np.ma.filled(mesh.get_array(), np.nan)
    assert shown.shape == (7, 10)
    np.testing.assert_allclose(shown[:, [0, 1, 2, 8, 9]], ds.temperature_2m.values[..., 2].T, rtol=1e-6)
    assert np.isnan(shown[:, 3:8]).all()
    ds = made().isel(init_time=[0, 4], lead_time=[2])
    assert plot_leads(ds, "temperature_2m", "p2").collections[0].get_array().shape == (1, 2)
    assert plot_leads(ds.isel(init_time=[0]), "temperature_2m", "p2").collections[0].get_array().shape == (1, 1)
    assert plot_leads(made(), "temperature_2m", "p2", runs=4).collections[0].get_array().shape == (7, 4)


# --- plot_leads: errors ---


def test_errors_are_those_of_the_function_in_the_units_that_are_wanted():
    ds = made(cycles=range(24), n_days=2)
    ax = plot_leads(ds, "temperature_2m", "p1", kind="errors", units="degF")
    found = errors(ds[["temperature_2m"]], members=0).isel(point=1).compute()
    lines = lines_of(ax)
    for name, label in (("rmse", "root mean square error"), ("bias", "bias (forecast minus truth)")):
        np.testing.assert_allclose(lines[label].get_xdata(), [1, 2, 3, 6, 12, 18])
        np.testing.assert_allclose(lines[label].get_ydata(), found[name] * 1.8, rtol=1e-6)
    assert ax.get_ylabel() == "error (°F)"
    assert ax.get_title(loc="left") == "Place 1: air temperature at 2 m"
    pairs = f"{found.n.values.min()} to {found.n.values.max()}"
    assert ax.get_xlabel() == f"lead time (h); against the analysis, {pairs} pairs each"
    ax.figure.canvas.draw()


def test_errors_against_observations():
    ds = made()
    truth = pd.DataFrame({"p1": [281.0, 282.0]}, index=pd.to_datetime(["2024-07-02T06", "2024-07-02T12"]))
    ax = plot_leads(ds, "temperature_2m", "p1", truth=truth)
    found = errors(ds[["temperature_2m"]].isel(point=[1]), truth, members=0).compute()
    there = found.n.values[:, 0] > 0
    line = lines_of(ax)["root mean square error"]
    np.testing.assert_allclose(line.get_xdata(), (found.lead_time.values / HOUR)[there])
    np.testing.assert_allclose(line.get_ydata(), found.rmse.values[there, 0])
    assert "against observations" in ax.get_xlabel()
    with pytest.raises(UsageError, match="no forecast of temperature_2m has a true value beside it"):
        plot_leads(ds, "temperature_2m", "p1", truth=truth * np.nan)
    with pytest.raises(ConfigError, match="kind='values' is not a picture"):
        plot_leads(ds, "temperature_2m", "p1", truth=truth, kind="values")
    with pytest.raises(ConfigError, match="kind='spread' is not a picture"):
        plot_leads(ds, "temperature_2m", "p1", kind="spread")  # type: ignore[arg-type]


# --- what is read ---


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_only_the_runs_and_the_point_that_are_drawn_are_read(tmp_path, chunks):
    encoding = {name: {"chunks": (4, 7, 1)} for name in SELECTORS}
    made().to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    ds = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)

    def taken() -> set[str]:
        return {key for key in store.take() if key.startswith(("temp", "prec", "status", "avail"))}

    taken()
    plot_runs(ds, "temperature_2m", "p1", runs=4)
    assert taken() == {"temperature_2m/c/2/0/1", "status/c/0/0"}, "status says which runs were read"
    plot_leads(ds, "temperature_2m", "p1", runs="2024-07-02")
    assert taken() == {"temperature_2m/c/1/0/1"}
    plot_leads(ds, "temperature_2m", "p1", kind="errors", runs=slice("2024-07-02", None))
    assert taken() == {"temperature_2m/c/1/0/1", "temperature_2m/c/2/0/1"}
