"""What is at a store's place already: nothing, a store of ours, or somebody else's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.grid.points import Points
from hrrr_dask.objects.locations import ICECHUNK, local_path, normal_url
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import check_installed, open_blobs
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.store.spec import FORMAT_VERSION, StoreSpec, axis_of, grown, identity, points_of, selection_of, spec_of
from hrrr_dask.store.template import ROOT_KEY

__all__ = ["GROWTH_PREFIX", "Existing", "blobs_at", "find_store", "find_store_at", "load_spec", "step_key"]

GROWTH_PREFIX: Final = ".hrrr/growth"
"""Here lie the steps by which a store came to be what it is, one immutable object each."""


def step_key(number: int) -> str:
    """Key of a step of growth."""
    return f"{GROWTH_PREFIX}/{number:06d}.json"


class Existing:
    """What a store that is already there says of itself: its root document, read once.

    Parameters
    ----------
    url : str
        The store.
    root : dict
        Its root document.
    """

    def __init__(self, url: str, root: dict[str, Any]) -> None:
        self.url = url
        self.documents: dict[str, Any] = root["consolidated_metadata"]["metadata"]
        self.settings: dict[str, Any] = root["attributes"]["hrrr_dask"]

    @property
    def selection(self) -> Selection:
        """What it holds of every run."""
        return selection_of(self.settings)

    @property
    def layout(self) -> Layout:
        """Its sizes of shards and chunks."""
        return Layout(**self.settings["layout"])

    @property
    def axis(self) -> Axis:
        """Its init_time axis."""
        return axis_of(self.settings)

    @property
    def n_days(self) -> int:
        """Days of its init_time axis [d]."""
        return int(self.settings["n_days"])

    @property
    def asked(self) -> slice:
        """The part of its init_time axis that anybody asked for."""
        cycles = len(self.settings["cycles"])
        return slice(int(self.settings["asked_from"]) * cycles, self.n_days * cycles)

    @property
    def cohort_sizes(self) -> tuple[int, ...]:
        """Number of points after each time that points were added."""
        return tuple(int(cohort["n_points"]) for cohort in self.settings["cohorts"])

    @property
    def n_points(self) -> int:
        """Number of its points."""
        return self.cohort_sizes[-1]

    def check_writer(self, spec: StoreSpec, *, ahead: bool = False) -> None:
        """Refuse a writer that knows another store than the one that is here now; growth since is no difference.

        Parameters
        ----------
        spec : StoreSpec
            What the writer knows.
        ahead : bool
            It may know steps of growth that the root document does not show yet.

        Raises
        ------
        StoreMismatchError
            If the store was removed and made anew in between.
        """
        there = spec_head(self.settings)
        mine = (identity(spec.selection), spec.axis, spec.layout, spec.grid_section)
        variables = {variable.name: variable.selector for variable in self.selection.variables}
        differ = [v for v in spec.selection.variables if variables.get(v.name, v.selector) != v.selector]
        digests = zip(spec.cohorts, self.settings["cohorts"], strict=False)  # either may have grown since
        moved = any(cohort.digest != known["digest"] for cohort, known in digests)
        if mine != there or differ or moved or (spec.growth > self.settings["growth"] and not ahead):
            raise StoreMismatchError(f"{self.url} is another store now than when this command began: give it again")


def spec_head(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """What no growth changes."""
    section = bytes.fromhex(settings["grid_section"])
    return identity(selection_of(settings)), axis_of(settings), Layout(**settings["layout"]), section


def check_same(spec: StoreSpec, url: str, given: set[str], selection: Selection, points: Points | None) -> None:
    """Refuse to continue a store that was made otherwise.

    Parameters
    ----------
    spec : StoreSpec
        The store.
    url : str
        Where it is.
    given : set of str
        The settings that were given with this command; the others follow the store.
    selection : Selection
        What is asked for.
    points : Points, optional
        What is asked for; may be some of the store's.

    Raises
    ------
    StoreMismatchError
        Saying all that differs, and how points and variables are added.
    """
    there, wanted = identity(spec.selection), identity(selection)
    differing = [
        f"  {key.replace('_', '-')}: {_difference(there[key], value)}"
        for key, value in wanted.items()
        if key.replace("_", "-") in given and there[key] != value
    ]
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


def _variables_differ(there: Selection, wanted: Selection) -> str:
    known = {variable.name: variable.selector for variable in there.variables}
    new = [f"{v.name}={v.selector}" for v in wanted.variables if known.get(v.name) != v.selector]
    return f"  variables: only asked for: {', '.join(new)}; hrrr-dask add-variables adds new ones" if new else ""


def _points_differ(there: Points, wanted: Points) -> str:
    known = there.places()
    new = [point_id for point_id, place in wanted.places().items() if known.get(point_id) != place]
    moved = [point_id for point_id in new if point_id in known]
    if not new:
        return ""
    some = ", ".join(new[:5]) + (", …" if len(new) > 5 else "")
    remedy = f"{', '.join(moved[:5])} lies elsewhere there" if moved else "hrrr-dask add-points adds new ones"
    return f"  points: {len(new)} of {len(wanted)} are not in the store ({some}); {remedy}"


def find_store_at(url: str, options: Mapping[str, str]) -> Existing | None:
    """The same as :func:`find_store`, for a URL; a directory that does not exist is not made."""
    blobs = blobs_at(url, options)
    return None if blobs is None else find_store(blobs)


def load_spec_at(url: str, options: Mapping[str, str]) -> StoreSpec | None:
    """The same as :func:`load_spec`, for a URL; a directory that does not exist is not made."""
    blobs = blobs_at(url, options)
    return None if blobs is None else load_spec(blobs)


def blobs_at(url: str, options: Mapping[str, str], snapshot: str = "") -> Blobs | None:
    """The objects at a URL; None for a directory that does not exist."""
    check_installed(url)
    directory = local_path(normal_url(url))
    there = directory is None or directory.exists()
    return open_blobs(url, options, snapshot=snapshot) if there else None


def load_spec(blobs: Blobs) -> StoreSpec | None:
    """Everything a writer must know of a store: its root document, its points, and steps that no root shows yet.

    Returns
    -------
    StoreSpec or None
        None when there is no store, not even one whose making was killed.

    Raises
    ------
    StoreMismatchError
        If something else lies there.
    """
    existing, spec = find_store(blobs), None
    if existing is not None:
        brought = [cohort["growth"] for cohort in existing.settings["cohorts"]]
        spec = spec_of(existing.settings, points_of([read_step(blobs, number) for number in brought]))
    for number in later_steps(blobs, spec.growth if spec else -1):
        spec = grown(spec, read_step(blobs, number), number)
    return spec


def later_steps(blobs: Blobs, after: int) -> list[int]:
    """Numbers of the steps of growth after one of them, ascending."""
    keys = blobs.keys(GROWTH_PREFIX, after=step_key(after) if after >= 0 else "")
    return [int(key.rpartition("/")[2].removesuffix(".json")) for key in keys]


def read_step(blobs: Blobs, number: int) -> dict[str, Any]:
    """One step of growth.

    Raises
    ------
    StoreMismatchError
        If it is not there, or not readable.
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
        None when there is nothing yet, or only the beginnings of a store that was never finished.

    Raises
    ------
    StoreMismatchError
        If something else lies there: another Zarr store, other files, or a store of another format version.
    """
    data = blobs.get(ROOT_KEY)
    if data is None:
        _refuse_foreign_files(blobs)
        return None
    try:
        root = json.loads(data)
        settings = root["attributes"]["hrrr_dask"]
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
    """Allow an empty place and the remains of a creation that was killed before its root document."""
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
        f"{blobs.url} is not empty and not a store of hrrr_dask (it holds {some}): choose another --store"
    )


def _difference(there: Any, asked: Any) -> str:
    """Say what differs; of two lists only what is in one of them."""
    if not isinstance(there, list) or not isinstance(asked, list):
        return f"the store has {there}, this run asks for {asked}"
    parts = [
        (", ".join(str(item) for item in there if item not in asked), "only in the store: "),
        (", ".join(str(item) for item in asked if item not in there), "only asked for: "),
    ]
    return "; ".join(word + items for items, word in parts if items)
