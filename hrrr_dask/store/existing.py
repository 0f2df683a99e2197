"""Reads what exists at a store's URL (nothing, a store, other files) and checks that a request matches the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hrrr_dask.catalog.lead_times import format_lead_time
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.ledger import check_ledger
from hrrr_dask.objects.locations import ICECHUNK, local_path, normal_url
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import check_installed, open_blobs
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.store.point_rows import point_steps, points_of, surface_of
from hrrr_dask.store.settings_attribute import settings_in
from hrrr_dask.store.spec import (
    FORMAT_VERSION,
    StoreSpec,
    apply_growth,
    axis_of,
    identity,
    selection_of,
    spec_of,
)
from hrrr_dask.store.template import ROOT_KEY

__all__ = [
    "GROWTH_PREFIX",
    "Existing",
    "find_store",
    "find_store_url",
    "later_steps",
    "load_spec",
    "open_existing_blobs",
    "read_step",
    "refuse_copy",
    "step_key",
]

GROWTH_PREFIX: Final = ".hrrr/growth"
"""Prefix of the steps of growth, one immutable object each."""


def step_key(number: int) -> str:
    """Return the key of a step of growth."""
    return f"{GROWTH_PREFIX}/{number:06d}.json"


class Existing:
    """An existing store, described by its root document, which is read once.

    Parameters
    ----------
    url : str
        URL of the store.
    root : dict
        The root document.
    """

    def __init__(self, url: str, root: dict[str, Any]) -> None:
        self.url = url
        self.documents: dict[str, Any] = root["consolidated_metadata"]["metadata"]
        self.settings = settings_in(root)

    @property
    def selection(self) -> Selection:
        """Variables, lead times, cycles, product, domain and method."""
        return selection_of(self.settings)

    @property
    def layout(self) -> Layout:
        """Sizes of shards and chunks."""
        return Layout(**self.settings["layout"])

    @property
    def axis(self) -> Axis:
        """The init_time axis."""
        return axis_of(self.settings)

    @property
    def n_days(self) -> int:
        """Days of the init_time axis [d]."""
        return int(self.settings["n_days"])

    @property
    def requested(self) -> slice:
        """Range of the init_time axis that was requested so far."""
        cycles = len(self.settings["cycles"])
        return slice(int(self.settings["asked_from"]) * cycles, self.n_days * cycles)

    @property
    def cohort_sizes(self) -> tuple[int, ...]:
        """Number of points after each time that points were added."""
        return tuple(int(cohort["n_points"]) for cohort in self.settings["cohorts"])

    @property
    def n_points(self) -> int:
        """Number of points."""
        return self.cohort_sizes[-1]

    def check_writer(self, spec: StoreSpec, *, ahead: bool = False) -> None:
        """Refuse a writer whose specification is not that of the existing store; later growth is allowed.

        Parameters
        ----------
        spec : StoreSpec
            Specification that the writer has.
        ahead : bool
            Allow steps of growth that are not in the root document yet.

        Raises
        ------
        StoreMismatchError
            If the store was removed and made again meanwhile.
        """
        there = fixed_settings(self.settings)
        mine = (identity(spec.selection), spec.axis, spec.layout, spec.grid_section)
        variables = {variable.name: variable.selector for variable in self.selection.variables}
        differ = [v for v in spec.selection.variables if variables.get(v.name, v.selector) != v.selector]
        digests = zip(spec.cohorts, self.settings["cohorts"], strict=False)  # either may have grown since
        moved = any(cohort.digest != known["digest"] for cohort, known in digests)
        if mine != there or differ or moved or (spec.growth > self.settings["growth"] and not ahead):
            raise StoreMismatchError(
                f"{self.url} was replaced by another store since this command started: run the command again"
            )


def fixed_settings(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the settings that growth does not change."""
    section = bytes.fromhex(settings["grid_section"])
    return identity(selection_of(settings)), axis_of(settings), Layout(**settings["layout"]), section


def check_same(spec: StoreSpec, url: str, given: set[str], selection: Selection, points: Points | None) -> None:
    """Refuse to continue a store with other settings.

    Parameters
    ----------
    spec : StoreSpec
        Specification of the store.
    url : str
        URL of the store.
    given : set of str
        Settings given with this command; all others are the store's.
    selection : Selection
        Requested selection.
    points : Points, optional
        Requested points; may be a subset of the store's.

    Raises
    ------
    StoreMismatchError
        If anything differs; says what, and how points and variables are added.
    """
    there, wanted = identity(spec.selection), identity(selection)
    leads = there.pop("lead_minutes"), wanted.pop("lead_minutes")
    differing = [
        f"  {key.replace('_', '-')}: {_difference(there[key], value)}"
        for key, value in wanted.items()
        if key.replace("_", "-") in given and there[key] != value
    ]
    if given & {"lead-hours", "lead-times"} and not _same_leads(*leads, in_hours="lead-hours" in given):
        key = "lead-hours" if "lead-hours" in given else "lead-times"
        differing.append(f"  {key}: {_difference(*(list(map(format_lead_time, some)) for some in leads))}")
    if "variables" in given and (text := _variables_differ(spec.selection, selection)):
        differing.append(text)
    if points is not None and (text := _points_differ(spec.points, points)):
        differing.append(text)
    if differing:
        raise StoreMismatchError(
            f"{url} exists and was made with other settings:\n"
            + "\n".join(differing)
            + "\nLeave a setting out, or repeat the store's own, to continue it; or write to another --store"
        )


def _same_leads(there: list[int], wanted: list[int], *, in_hours: bool) -> bool:
    """Whether lead times are those of the store; hours of a sub-hourly store of version 0.1 are full hours."""
    if in_hours and not any(lead % 60 for lead in there):
        wanted = [lead for lead in wanted if lead % 60 == 0]
    return there == wanted


def _variables_differ(there: Selection, wanted: Selection) -> str:
    known = {variable.name: variable.selector for variable in there.variables}
    new = [f"{v.name}={v.selector}" for v in wanted.variables if known.get(v.name) != v.selector]
    return f"  variables: only asked for: {', '.join(new)}; hrrr-dask add-variables adds new ones" if new else ""


def _points_differ(there: Points, wanted: Points) -> str:
    known = there.coordinates()
    new = [point_id for point_id, place in wanted.coordinates().items() if known.get(point_id) != place]
    moved = [point_id for point_id in new if point_id in known]
    if not new:
        return ""
    some = ", ".join(new[:5]) + (", …" if len(new) > 5 else "")
    remedy = f"{', '.join(moved[:5])} lies elsewhere there" if moved else "hrrr-dask add-points adds new ones"
    return f"  points: {len(new)} of {len(wanted)} are not in the store ({some}); {remedy}"


def find_store_url(url: str, options: Mapping[str, str]) -> Existing | None:
    """Call :func:`find_store` for a URL, without making a directory."""
    blobs = open_existing_blobs(url, options)
    return None if blobs is None else find_store(blobs)


def load_spec_url(url: str, options: Mapping[str, str]) -> StoreSpec | None:
    """Call :func:`load_spec` for a URL, without making a directory."""
    blobs = open_existing_blobs(url, options)
    return None if blobs is None else load_spec(blobs)


def open_existing_blobs(url: str, options: Mapping[str, str], snapshot: str = "") -> Blobs | None:
    """Open the objects at a URL; None for a directory that does not exist."""
    check_installed(url)
    directory = local_path(normal_url(url))
    there = directory is None or directory.exists()
    return open_blobs(url, options, snapshot=snapshot) if there else None


def load_spec(blobs: Blobs) -> StoreSpec | None:
    """Load the specification of a store from its root document, its points, and newer steps of growth.

    Returns
    -------
    StoreSpec or None
        None if there is no store, not even one whose creation was killed.

    Raises
    ------
    StoreMismatchError
        If there is something else at the URL, or a copy of a store without its ledger.
    """
    existing, spec = find_store(blobs), None
    if existing is not None:
        refuse_copy(blobs)
        steps = [read_step(blobs, number) for number in point_steps(existing.settings)]
        spec = spec_of(existing.settings, points_of(steps), surface_of(steps))
    for number in later_steps(blobs, spec.growth if spec else -1):
        spec = apply_growth(spec, read_step(blobs, number), number)
    return spec


def refuse_copy(blobs: Blobs) -> None:
    """Refuse the arrays of a store without its first step of growth and its ledger.

    Copies have the attributes of the store that they were made from, and often only some of its values.

    Raises
    ------
    StoreMismatchError
        If they are such a copy.
    """
    if blobs.get(step_key(0)) is None:
        check_ledger(blobs)


def later_steps(blobs: Blobs, after: int) -> list[int]:
    """Return the numbers of the steps of growth after a given one, ascending."""
    keys = blobs.keys(GROWTH_PREFIX, after=step_key(after) if after >= 0 else "")
    return [int(key.rpartition("/")[2].removesuffix(".json")) for key in keys]


def read_step(blobs: Blobs, number: int) -> dict[str, Any]:
    """Read one step of growth.

    Raises
    ------
    StoreMismatchError
        If it does not exist or cannot be decoded.
    """
    data = blobs.get(step_key(number))
    try:
        step: dict[str, Any] = json.loads(data or b"")
    except (ValueError, RecursionError):
        raise StoreMismatchError(
            f"{blobs.url}/{step_key(number)} is {'damaged' if data else 'missing'}, without which the store cannot be "
            f"continued, only read: bring it back from a copy, or write to another --store"
        ) from None
    return step


def find_store(blobs: Blobs) -> Existing | None:
    """Read the root document of a store.

    Returns
    -------
    Existing or None
        None if there is nothing yet, or only the remains of an unfinished creation.

    Raises
    ------
    StoreMismatchError
        If there is something else: another Zarr store, other files, or a store of another format version.
    """
    data = blobs.get(ROOT_KEY)
    if data is None:
        _refuse_foreign_files(blobs)
        return None
    try:
        root = json.loads(data)
        settings = settings_in(root)
        version = settings["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreMismatchError(
            f"{blobs.url} holds a Zarr store that hrrr_dask did not make; it is left alone: choose another --store"
        ) from None
    if version != FORMAT_VERSION:
        raise StoreMismatchError(
            f"{blobs.url} has format version {version}, this hrrr_dask reads {FORMAT_VERSION}: "
            f"use the release that made it (package_version {settings.get('package_version')})"
        )
    if not root.get("consolidated_metadata"):
        raise StoreMismatchError(
            f"{blobs.url} lost its consolidated metadata, so another tool rewrote {ROOT_KEY}: "
            f"bring it back with zarr.consolidate_metadata, or choose another --store"
        )
    return Existing(blobs.url, root)


def _refuse_foreign_files(blobs: Blobs) -> None:
    """Refuse other files; an empty location and the remains of an unfinished creation are allowed."""
    names = blobs.top_level()
    if blobs.transactional and ROOT_KEY in names:
        raise StoreMismatchError(f"{blobs.url} is a plain Zarr store: leave {ICECHUNK} out, or choose another --store")
    if not blobs.transactional and "snapshots" in names and names & {"refs", "repo"}:
        raise StoreMismatchError(
            f"{blobs.url} is an Icechunk repository: put {ICECHUNK} before it, or choose another --store"
        )
    if not names or ".hrrr" in names:
        return
    some = ", ".join(sorted(names)[:5])
    raise StoreMismatchError(
        f"{blobs.url} is not empty and not a store of hrrr_dask (it holds {some}): give a store, or a new place for one"
    )


def _difference(there: Any, asked: Any) -> str:
    """Describe what differs; for lists, only elements that one of them lacks."""
    if not isinstance(there, list) or not isinstance(asked, list):
        return f"the store has {there}, this run asks for {asked}"
    parts = [
        (", ".join(str(item) for item in there if item not in asked), "only in the store: "),
        (", ".join(str(item) for item in asked if item not in there), "only asked for: "),
    ]
    return "; ".join(word + items for items, word in parts if items)
