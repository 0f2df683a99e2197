"""What a command asks for, checked against the settings, the archive's calendar and the store; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.archive.grid_probe import find_grid, place_points
from hrrr_dask.archive.sources import SOURCES, Source, parse_source
from hrrr_dask.clusters import parse_cluster
from hrrr_dask.config.settings import (
    DEFAULTS,
    Period,
    Selection,
    parse_day,
    parse_period,
    parse_selection,
    resolve_settings,
)
from hrrr_dask.decode import check_engine
from hrrr_dask.errors import ConfigError, PlanError, PointsError, StoreMismatchError
from hrrr_dask.grid.points import Points, read_points
from hrrr_dask.job.batching import parse_files_per_task
from hrrr_dask.objects.locations import check_options, normal_url
from hrrr_dask.planning.layout import Axis, Layout, choose_layout
from hrrr_dask.planning.plan import Plan, all_of, iter_partitions, make_plan
from hrrr_dask.records import GribFile
from hrrr_dask.store.existing import check_same, load_spec_at
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    PointsLike = str | os.PathLike[str] | pd.DataFrame | Points

__all__ = [
    "Request",
    "asked_period",
    "prepare",
    "store_at",
    "target_of",
    "url_of",
    "utc_now",
    "whole_partitions",
]


def utc_now() -> datetime:
    """The time, naive as all times here."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be met, as far as can be known without reading the archive."""

    settings: dict[str, Any]
    """Resolved."""
    points: Points
    """Of the store, or as it will have them."""
    plan: Plan
    """What is wanted."""
    axis: Axis
    """Of the store."""
    spec: StoreSpec | None
    """The store, when it is there."""
    sources: tuple[Source, ...]
    """In the order of fail-over."""
    fetch: FetchSettings
    """How patiently the archive is read."""
    now: datetime = field(default_factory=utc_now)
    """UTC."""


def prepare(
    points: PointsLike | None,
    start: str | datetime,
    end: str | datetime,
    store: str,
    given: Mapping[str, Any],
) -> Request:
    """Check a request.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        May be left out for a store that is there.
    start, end : str or datetime
        First and last init time.
    store : str
        URL; empty when only a plan is wanted.
    given : mapping
        The settings that were given; a store that is there has its own for all others.

    Raises
    ------
    UsageError
        If it cannot be met.
    """
    settings = resolve_settings(**given)
    selection = parse_selection(settings)
    places = None if points is None else read_points(points)
    check_engine(settings["engine"])
    parse_cluster(settings)
    parse_files_per_task(settings["files-per-task"])
    spec = None
    if store:
        check_options(normal_url(store), settings["store-options"])
        spec = load_spec_at(store, settings["store-options"])
    if spec is None:
        if places is None:
            raise PointsError(f"{store or 'the plan'} needs points: give --points, there is no store that has them")
        axis = Axis(parse_day("axis-start", settings["axis-start"]), selection.cycles)
        layout = _layout(selection, len(places), settings)
    else:
        keys = {key.replace("_", "-") for key, value in given.items() if value is not None}
        check_same(spec, store, keys, selection, places)
        _refuse_other_layout(spec, store, settings, keys)
        if settings["source"] == DEFAULTS["source"] and "source" not in keys:
            settings["source"] = list(spec.sources)
        selection, places, axis, layout = spec.selection, spec.points, spec.axis, spec.layout
    made = make_plan(
        selection,
        parse_period(start, end, selection.cycles),
        n_points=len(places),
        layout=layout,
        now=(now := utc_now()),
        axis=axis,
        continued=spec is not None,
    )
    _refuse_too_large(made, settings, continued=spec is not None)
    fetch = settings["fetch"]
    patience = FetchSettings(
        **{key.replace("-", "_"): value for key, value in fetch.items() if key not in ("merge-gap-kb", "prefix-reads")}
    )
    sources = tuple(_source(text, settings["source-options"]) for text in settings["source"])
    return Request(settings, places, made, axis, spec, sources, patience, now)


def target_of(request: Request, url: str) -> Store:
    """The store as it is, or as it will be; nothing is written yet, and the points are known to lie on the grid."""
    spec = request.spec
    if spec is None:
        section = find_grid(_probe_files(request), request.sources, request.fetch)
        period = request.plan.period
        spec = StoreSpec(
            selection=request.plan.selection,
            points=request.points,
            cells=place_points(request.points, section, request.plan.selection.method),
            grid_section=section,
            layout=request.plan.layout,
            axis=request.axis,
            asked_from=request.axis.days_to(period.start) - 1,
            n_days=request.axis.days_to(period.end),
            package_version=_package_version(),
            sources=tuple(request.settings["source"]),
        )
    return Store(url, request.settings["store-options"], spec)


def whole_partitions(request: Request) -> slice:
    """The part of the axis that the period touches, in whole partitions."""
    span = request.plan.layout.partition_days * len(request.axis.cycles)
    first, last = request.axis.index(request.plan.period.start), request.axis.index(request.plan.period.end)
    return slice(first // span * span, (last // span + 1) * span)


def _layout(selection: Selection, n_points: int, settings: Mapping[str, Any]) -> Layout:
    return choose_layout(
        selection,
        n_points,
        partition_days=settings["partition-days"],
        shard_points=settings["shard-points"],
        chunk_points=settings["chunk-points"],
    )


def _refuse_other_layout(spec: StoreSpec, store: str, settings: Mapping[str, Any], given: set[str]) -> None:
    fixed = {
        "partition-days": spec.layout.partition_days,
        "shard-points": spec.layout.shard_points,
        "chunk-points": spec.layout.chunk_points,
        "axis-start": f"{spec.axis.first_day:%Y-%m-%d}",
    }
    for key, there in fixed.items():
        if key in given and settings[key] not in (0, there):
            raise StoreMismatchError(
                f"{store} was made with {key} {there}, which cannot be changed to {settings[key]}: leave --{key} out"
            )


def _refuse_too_large(made: Plan, settings: Mapping[str, Any], *, continued: bool) -> None:
    limit = settings["memory-limit-mb"] * 1_000_000
    if made.worker_bytes > limit:
        smaller = "" if continued else f"make the shards smaller (--partition-days, now {made.layout.partition_days}), "
        raise PlanError(
            f"a worker would need about {made.worker_bytes / 1e6:,.0f} MB and the memory limit is "
            f"{settings['memory-limit-mb']:,} MB: raise --memory-limit-mb, {smaller}or ask for less"
        )


def _source(text: str, options: dict[str, str]) -> Source:
    """The public mirrors know how they are reached; the options are for a source of one's own."""
    return parse_source(text, {} if text in SOURCES else options)


def _probe_files(request: Request) -> Iterator[GribFile]:
    """One file of each run first, so that a missing day is soon left behind."""
    last: datetime | None = None
    for partition in iter_partitions(request.plan, request.axis, all_of(request.plan, request.axis)):
        for reading in partition.readings:
            if reading.file.init_time != last:
                yield reading.file
            last = reading.file.init_time


def _package_version() -> str:
    import hrrr_dask  # noqa: PLC0415  the root names this module's users

    return hrrr_dask.__version__


def asked_period(spec: StoreSpec) -> Period:
    """All that anybody asked of a store."""
    cycles = len(spec.axis.cycles)
    return Period(spec.axis.init_time(spec.asked_from * cycles), spec.axis.init_time(spec.n_days * cycles - 1))


def url_of(store: str | os.PathLike[str]) -> str:
    """Of a store, as it was given.

    Raises
    ------
    ConfigError
        If it is empty.
    """
    url = os.fspath(store)
    if not url.strip():
        raise ConfigError("the store's URL is empty: give --store a directory or s3://bucket/prefix")
    return url


def store_at(url: str, given: Mapping[str, Any]) -> Store:
    """The store that is there; of the settings that were given only ``store_options`` matter.

    Raises
    ------
    StoreMismatchError
        If there is none.
    """
    options = {**resolve_settings()["store-options"], **(given.get("store_options") or {})}
    spec = load_spec_at(url, options)
    if spec is None:
        raise StoreMismatchError(f"{url} holds no store: check the URL, or make one with hrrr-dask backfill")
    return Store(url, options, spec)
