"""The accessor ``hrrr`` of datasets and arrays: functions of this package as methods. Importing this registers both."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar

import numpy as np
import xarray as xr

from hrrr_dask.read.ensembles import lagged
from hrrr_dask.read.exports import to_frame, to_netcdf
from hrrr_dask.read.forecasts import best_estimate, by_valid_time, fixed_lead, latest
from hrrr_dask.read.places import nearest
from hrrr_dask.read.plots import RunChoice, plot_leads, plot_runs
from hrrr_dask.read.skill import Truth, errors
from hrrr_dask.read.solar import solar
from hrrr_dask.read.times import Duration
from hrrr_dask.read.wind import wind

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["HrrrAccessor", "HrrrArrayAccessor", "best_estimate", "by_valid_time", "fixed_lead", "latest"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

_ARRAY: Final = "__hrrr_dask_array__"
"""Name of an array's variable in a dataset; no coordinate has it."""


def _documented_by(function: Callable[..., Any], *without: str) -> Callable[[_Method], _Method]:
    """Append the docstring of a function, without its first line, the parameter ``ds`` and others."""

    def document(method: _Method) -> _Method:
        details = (inspect.getdoc(function) or "").partition("\n\n")[2]
        for name in ("ds", *without):
            details = re.sub(rf"^{name} : .*\n(?: {{4}}.*\n)+", "", details, flags=re.MULTILINE)
        details = re.sub(r"^Parameters\n-+\n\n", "", details, flags=re.MULTILINE)
        method.__doc__ = f"{inspect.getdoc(method)}\n\n{details}"
        return method

    return document


class _Listed:
    """Lists its methods at a prompt, each with the first line of its docstring."""

    _name: ClassVar[str]

    def __repr__(self) -> str:
        methods = {name: method for name, method in vars(type(self)).items() if not name.startswith("_")}
        calls = {name: f"{name}({', '.join(_parameters(method))})" for name, method in methods.items()}
        firsts = {name: (inspect.getdoc(method) or "").partition("\n")[0] for name, method in methods.items()}
        width = max(map(len, calls.values()))
        lines = [f"  {call:{width}}  {firsts[name]}" for name, call in calls.items()]
        return "\n".join([f"Methods of {self._name}; more by help({self._name}.{next(iter(methods))}):", *lines])


def _parameters(method: Callable[..., Any]) -> list[str]:
    """The parameters with their defaults; options that need their name are only said to exist."""
    named = [each for each in inspect.signature(method).parameters.values() if each.name != "self"]
    options = any(each.kind is inspect.Parameter.KEYWORD_ONLY for each in named)
    plain = (each for each in named if each.kind is not inspect.Parameter.KEYWORD_ONLY)
    return [str(each.replace(annotation=inspect.Parameter.empty)) for each in plain] + ["…"] * options


@xr.register_dataset_accessor("hrrr")  # type: ignore[no-untyped-call]
class HrrrAccessor(_Listed):
    """Functions of :mod:`hrrr_dask.read` as methods of a dataset: ``ds.hrrr.fixed_lead(24)``.

    Examples
    --------
    >>> ds.hrrr
    Methods of ds.hrrr; more by help(ds.hrrr.fixed_lead):
      fixed_lead(lead=24)                      One lead time of every run, or several, along valid time.
      by_valid_time(point=None)                All forecasts for each valid time, by lead time.
      latest(as_of)                            What was known at a time: the newest forecasts published by then.
      best_estimate()                          The shortest available lead time of each valid time.
      lagged(n=6)                              The newest n runs for each valid time, as members of an ensemble.
      nearest(latitude, longitude, n=1)        The n stored points nearest to a place, with their distance.
      wind(height=80, shear=None)              Wind speed and direction at a height above ground [m].
      solar(mean=None)                         Irradiance for pvlib, as instants or as averages.
      errors(truth=None, …)                    Errors by lead time, against the analysis or observations.
      to_frame(point=None, variables=None, …)  A tidy pandas table: a row for each forecast and point.
      to_netcdf(path)                          Write a netCDF file that follows CF.
      plot_runs(variable, point=None, …)       A picture of one place: each run a line along valid time.
      plot_leads(variable, point=None, …)      A picture of one place: values or errors by lead time.
    """

    _name = "ds.hrrr"

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    @_documented_by(fixed_lead)
    def fixed_lead(self, lead: Duration | Iterable[Duration] = 24) -> xr.Dataset:
        """One lead time of every run, or several, along valid time."""
        return fixed_lead(self._ds, lead)

    @_documented_by(by_valid_time)
    def by_valid_time(self, point: str | Sequence[str] | None = None) -> xr.Dataset:
        """All forecasts for each valid time, by lead time."""
        return by_valid_time(self._ds, point)

    @_documented_by(latest)
    def latest(self, as_of: str | date | np.datetime64) -> xr.Dataset:
        """What was known at a time: the newest forecasts published by then."""
        return latest(self._ds, as_of)

    @_documented_by(best_estimate)
    def best_estimate(self) -> xr.Dataset:
        """The shortest available lead time of each valid time."""
        return best_estimate(self._ds)

    @_documented_by(lagged)
    def lagged(self, n: int = 6) -> xr.Dataset:
        """The newest n runs for each valid time, as members of an ensemble."""
        return lagged(self._ds, n)

    @_documented_by(nearest)
    def nearest(self, latitude: float, longitude: float, n: int = 1) -> xr.Dataset:
        """The n stored points nearest to a place, with their distance."""
        return nearest(self._ds, latitude, longitude, n)

    @_documented_by(wind)
    def wind(self, height: float | xr.DataArray = 80, shear: float | xr.DataArray | None = None) -> xr.Dataset:
        """Wind speed and direction at a height above ground [m]."""
        return wind(self._ds, height, shear)

    @_documented_by(solar)
    def solar(self, mean: Duration | None = None) -> xr.Dataset:
        """Irradiance for pvlib, as instants or as averages."""
        return solar(self._ds, mean)

    @_documented_by(errors)
    def errors(self, truth: Truth | None = None, *, members: int = 6) -> xr.Dataset:
        """Errors by lead time, against the analysis or observations."""
        return errors(self._ds, truth, members=members)

    @_documented_by(to_frame)
    def to_frame(
        self,
        point: str | Sequence[str] | None = None,
        variables: str | Sequence[str] | None = None,
        *,
        dropna: bool = True,
    ) -> pd.DataFrame:
        """A tidy pandas table: a row for each forecast and point."""
        return to_frame(self._ds, point, variables, dropna=dropna)

    @_documented_by(to_netcdf)
    def to_netcdf(self, path: str | os.PathLike[str]) -> None:
        """Write a netCDF file that follows CF."""
        to_netcdf(self._ds, path)

    @_documented_by(plot_runs)
    def plot_runs(
        self,
        variable: str,
        point: str | None = None,
        *,
        runs: RunChoice = 12,
        units: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """A picture of one place: each run a line along valid time."""
        return plot_runs(self._ds, variable, point, runs=runs, units=units, ax=ax)

    @_documented_by(plot_leads)
    def plot_leads(
        self,
        variable: str,
        point: str | None = None,
        *,
        kind: Literal["values", "errors"] | None = None,
        truth: Truth | None = None,
        runs: RunChoice = None,
        units: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """A picture of one place: values or errors by lead time."""
        return plot_leads(self._ds, variable, point, kind=kind, truth=truth, runs=runs, units=units, ax=ax)


@xr.register_dataarray_accessor("hrrr")  # type: ignore[no-untyped-call]
class HrrrArrayAccessor(_Listed):
    """The same for a variable: ``ds.temperature_2m.hrrr.fixed_lead(24)`` gives an array of the same name.

    Examples
    --------
    >>> ds.temperature_2m.hrrr
    Methods of da.hrrr; more by help(da.hrrr.fixed_lead):
      fixed_lead(lead=24)                One lead time of every run, or several, along valid time.
      by_valid_time(point=None)          All forecasts for each valid time, by lead time.
      latest(as_of)                      What was known at a time: the newest forecasts published by then.
      best_estimate()                    The shortest available lead time of each valid time.
      lagged(n=6)                        The newest n runs for each valid time, as members of an ensemble.
      nearest(latitude, longitude, n=1)  The n stored points nearest to a place, with their distance.
      errors(truth=None, …)              Errors by lead time, against the analysis or observations.
      to_frame(point=None, …)            A tidy pandas table: a row for each forecast and point.
      to_netcdf(path)                    Write a netCDF file that follows CF.
      plot_runs(point=None, …)           A picture of one place: each run a line along valid time.
      plot_leads(point=None, …)          A picture of one place: values or errors by lead time.
    """

    _name = "da.hrrr"

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    def _apply(self, function: Callable[..., xr.Dataset], *args: Any) -> xr.DataArray:
        return function(self._array.to_dataset(name=_ARRAY), *args)[_ARRAY].rename(self._array.name)

    def _to_dataset(self) -> xr.Dataset:
        """Return the array in a dataset under its own name, or as ``value``."""
        name = "value" if self._array.name is None else self._array.name
        return self._array.drop_vars([name], errors="ignore").to_dataset(name=name)

    @_documented_by(fixed_lead)
    def fixed_lead(self, lead: Duration | Iterable[Duration] = 24) -> xr.DataArray:
        """One lead time of every run, or several, along valid time."""
        return self._apply(fixed_lead, lead)

    @_documented_by(by_valid_time)
    def by_valid_time(self, point: str | Sequence[str] | None = None) -> xr.DataArray:
        """All forecasts for each valid time, by lead time."""
        return self._apply(by_valid_time, point)

    @_documented_by(latest)
    def latest(self, as_of: str | date | np.datetime64) -> xr.DataArray:
        """What was known at a time: the newest forecasts published by then."""
        return self._apply(latest, as_of)

    @_documented_by(best_estimate)
    def best_estimate(self) -> xr.DataArray:
        """The shortest available lead time of each valid time."""
        return self._apply(best_estimate)

    @_documented_by(lagged)
    def lagged(self, n: int = 6) -> xr.DataArray:
        """The newest n runs for each valid time, as members of an ensemble."""
        return self._apply(lagged, n)

    @_documented_by(nearest)
    def nearest(self, latitude: float, longitude: float, n: int = 1) -> xr.DataArray:
        """The n stored points nearest to a place, with their distance."""
        return self._apply(nearest, latitude, longitude, n)

    @_documented_by(errors)
    def errors(self, truth: Truth | None = None, *, members: int = 6) -> xr.Dataset:
        """Errors by lead time, against the analysis or observations."""
        return errors(self._to_dataset(), truth, members=members)

    @_documented_by(to_frame, "variables")
    def to_frame(self, point: str | Sequence[str] | None = None, *, dropna: bool = True) -> pd.DataFrame:
        """A tidy pandas table: a row for each forecast and point."""
        return to_frame(self._to_dataset(), point, dropna=dropna)

    @_documented_by(to_netcdf)
    def to_netcdf(self, path: str | os.PathLike[str]) -> None:
        """Write a netCDF file that follows CF."""
        to_netcdf(self._to_dataset(), path)

    @_documented_by(plot_runs, "variable")
    def plot_runs(
        self, point: str | None = None, *, runs: RunChoice = 12, units: str = "", ax: Axes | None = None
    ) -> Axes:
        """A picture of one place: each run a line along valid time."""
        ds = self._to_dataset()
        return plot_runs(ds, str(next(iter(ds))), point, runs=runs, units=units, ax=ax)

    @_documented_by(plot_leads, "variable")
    def plot_leads(
        self,
        point: str | None = None,
        *,
        kind: Literal["values", "errors"] | None = None,
        truth: Truth | None = None,
        runs: RunChoice = None,
        units: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """A picture of one place: values or errors by lead time."""
        ds = self._to_dataset()
        return plot_leads(ds, str(next(iter(ds))), point, kind=kind, truth=truth, runs=runs, units=units, ax=ax)
