"""Checks a request (points, period, settings) against the archive's calendar and the existing store. Writes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.archive.sources import SOURCES, Source, parse_source
from hrrr_dask.catalog.variables import check_product
from hrrr_dask.clusters import check_client, parse_cluster
from hrrr_dask.config.period import Period, parse_day, parse_period
from hrrr_dask.config.settings import DEFAULTS, Selection, parse_selection, resolve_settings
from hrrr_dask.decode import check_engine
from hrrr_dask.errors import ConfigError, PlanError, PointsError, StoreMismatchError
from hrrr_dask.grid.definition import BILINEAR_MARGIN, NEAREST_MARGIN
from hrrr_dask.grid.domains import DOMAIN_GRIDS, refuse_outside
from hrrr_dask.grid.point_columns import describe_differences, refuse_clashes
from hrrr_dask.grid.points import Points, read_points
from hrrr_dask.grid.projection import SAME_CELLS_M
from hrrr_dask.job.batching import parse_files_per_task
from hrrr_dask.objects.locations import check_options, normal_url
from hrrr_dask.planning.layout import Axis, Layout, choose_layout
from hrrr_dask.planning.plan import Plan, make_plan
from hrrr_dask.store.existing import check_same, load_spec_url
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.store.store import Store
from hrrr_dask.telemetry.logs import get_log

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    PointsLike = str | os.PathLike[str] | pd.DataFrame | Points

__all__ = [
    "Request",
    "check_request",
    "open_store",
    "requested_period",
    "resolve_client",
    "url_of",
    "utc_now",
    "warn_of_other_columns",
]

_log = get_log()


def utc_now() -> datetime:
    """Return the current time in UTC, without a time zone like all times in this package."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be met, as far as can be known without reading the archive."""

    store_url: str
    """Where the store is or will be; empty when only a plan is wanted."""
    settings: dict[str, Any]
    """All settings, with defaults filled in."""
    points: Points
    """Points of the store; for a new store, the requested points."""
    plan: Plan
    """The files to read."""
    axis: Axis
    """init_time axis of the store."""
    spec: StoreSpec | None
    """Specification of the existing store; None for a new store."""
    sources: tuple[Source, ...]
    """Sources in the order of fail-over."""
    fetch: FetchSettings
    """Timeouts and attempts for requests to the archive."""
    started: float
    """When the request was made, in :func:`time.perf_counter` [s]."""
    now: datetime = field(default_factory=utc_now)
    """Current time, UTC."""

    @property
    def days(self) -> tuple[int, int]:
        """First day of the period on the store's axis, and the days from the axis' start to the period's end."""
        period = self.plan.period
        return self.axis.days_to(period.start) - 1, self.axis.days_to(period.end)

    @property
    def whole_partitions(self) -> slice:
        """Positions on the init_time axis of all partitions that the period touches."""
        span = self.plan.layout.partition_days * len(self.axis.cycles)
        first, last = self.axis.index(self.plan.period.start), self.axis.index(self.plan.period.end)
        return slice(first // span * span, (last // span + 1) * span)


def check_request(
    points: PointsLike | None,
    start: str | datetime,
    end: str | datetime,
    store: str,
    given: Mapping[str, Any],
) -> Request:
    """Check a request and plan it.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        Optional for an existing store, which has its own points.
    start, end : str or datetime
        First and last init time.
    store : str
        URL of the store; empty for a plan without a store.
    given : mapping
        Settings of this call. An existing store keeps its own values for all others.

    Raises
    ------
    UsageError
        If the request cannot be met.
    """
    started = time.perf_counter()
    settings = resolve_settings(**given)
    keys = {key.replace("_", "-") for key, value in given.items() if value is not None}
    spec = None
    if store:
        check_options(normal_url(store), settings["store-options"])
        spec = load_spec_url(store, settings["store-options"])
    if spec is not None and "product" not in keys:
        settings["product"] = spec.selection.product
    selection = parse_selection(settings)
    requested_points = None if points is None else read_points(points)
    check_engine(settings["engine"])
    parse_cluster(settings)
    parse_files_per_task(settings["files-per-task"])
    if spec is None:
        check_product(selection.variables, selection.product)
        if requested_points is None:
            raise PointsError(f"{store or 'the plan'} needs points: give --points, there is no store that has them")
        refuse_clashes(requested_points.columns, {variable.name: "variable" for variable in selection.variables})
        axis = Axis(parse_day("axis-start", settings["axis-start"]), selection.cycles)
        layout = _layout(selection, len(requested_points), settings)
        margin = NEAREST_MARGIN if selection.method == "nearest" else BILINEAR_MARGIN
        grid, name = DOMAIN_GRIDS[selection.domain], f"the {selection.domain} grid of HRRR"
        refuse_outside(requested_points, grid, margin, name, tolerance_m=SAME_CELLS_M)
    else:
        check_same(spec, store, keys, selection, requested_points)
        if requested_points is not None:
            warn_of_other_columns(spec.points, requested_points)
        _refuse_other_layout(spec, store, settings, keys)
        if settings["source"] == DEFAULTS["source"] and "source" not in keys:
            settings["source"] = list(spec.sources)
        selection, requested_points, axis, layout = spec.selection, spec.points, spec.axis, spec.layout
    made = make_plan(
        selection,
        parse_period(start, end, selection.cycles),
        n_points=len(requested_points),
        layout=layout,
        now=(now := utc_now()),
        axis=axis,
        continued=spec is not None,
        memory_bytes=settings["memory-limit-mb"] * 1_000_000,
    )
    _refuse_too_large(made, settings, continued=spec is not None)
    fetch = settings["fetch"]
    patience = FetchSettings(
        **{key.replace("-", "_"): value for key, value in fetch.items() if key not in ("merge-gap-kb", "prefix-reads")}
    )
    sources = tuple(_source(text, settings["source-options"]) for text in settings["source"])
    return Request(store, settings, requested_points, made, axis, spec, sources, patience, started, now)


def warn_of_other_columns(known: Points, given: Points) -> None:
    """Log a warning of columns whose values at known points are not those of the store, which stay as they are."""
    there, here = (
        {name: dict(zip(points.point_id, column.values, strict=True)) for name, column in points.columns.items()}
        for points in (known, given)
    )
    for line in describe_differences(there, here, set(known.point_id)):
        _log.warning(line)


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
            f"{settings['memory-limit-mb']:,} MB: raise --memory-limit-mb, {smaller}or request less"
        )


def _source(text: str, options: dict[str, str]) -> Source:
    """Parse a source. The options apply to a source given by URL; the public mirrors have their own."""
    return parse_source(text, {} if text in SOURCES else options)


def requested_period(spec: StoreSpec) -> Period:
    """Return the first and last init time requested of a store so far."""
    cycles = len(spec.axis.cycles)
    return Period(spec.axis.init_time(spec.asked_from * cycles), spec.axis.init_time(spec.n_days * cycles - 1))


def url_of(store: str | os.PathLike[str]) -> str:
    """Return the URL of a store as text.

    Raises
    ------
    ConfigError
        If it is empty.
    """
    url = os.fspath(store)
    if not url.strip():
        raise ConfigError("the store's URL is empty: give --store a directory or s3://bucket/prefix")
    return url


def resolve_client(client: Client | str | None, settings: dict[str, Any]) -> Client | None:
    """Check the client that the user passes; the address of a scheduler becomes the setting ``cluster``.

    Raises
    ------
    UsageError
        If it is not a connected, synchronous client.
    """
    if isinstance(client, str):
        settings["cluster"] = client
        return None
    if client is not None:
        check_client(client)
    return client


def open_store(url: str, given: Mapping[str, Any]) -> Store:
    """Open an existing store. Of the settings, only ``store_options`` is used.

    Raises
    ------
    StoreMismatchError
        If there is no store at the URL.
    """
    options = {**resolve_settings()["store-options"], **(given.get("store_options") or {})}
    spec = load_spec_url(url, options)
    if spec is None:
        raise StoreMismatchError(f"{url} holds no store: check the URL, or make one with hrrr-dask backfill")
    return Store(url, options, spec)
