"""What is at a store's place already: nothing, a store of ours, or somebody else's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hrrr_dask.blobs import Blobs
from hrrr_dask.config import Selection
from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.locations import local_path, normal_url
from hrrr_dask.planning import Axis, Layout
from hrrr_dask.template import FORMAT_VERSION, ROOT_KEY, StoreSpec, identity
from hrrr_dask.variables import parse_variables

__all__ = ["Existing", "find_store", "find_store_at"]


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
        self._settings: dict[str, Any] = root["attributes"]["hrrr_dask"]

    @property
    def selection(self) -> Selection:
        """What it holds of every run."""
        said = self._settings
        return Selection(
            variables=parse_variables(said["variables"]),
            lead_hours=tuple(said["lead_hours"]),
            cycles=tuple(said["cycles"]),
            product=said["product"],
            domain=said["domain"],
            method=said["method"],
        )

    @property
    def layout(self) -> Layout:
        """Its sizes of shards and chunks."""
        return Layout(**self._settings["layout"])

    @property
    def axis(self) -> Axis:
        """Its init_time axis."""
        return Axis(datetime.fromisoformat(self._settings["first_day"]), tuple(self._settings["cycles"]))

    @property
    def n_days(self) -> int:
        """Days of its init_time axis [d]."""
        return int(self._settings["n_days"])

    @property
    def n_init(self) -> int:
        """Length of its init_time axis."""
        return self.n_days * len(self.axis.cycles)

    @property
    def n_points(self) -> int:
        """Number of its points."""
        return int(self.documents["point_id"]["shape"][0])

    @property
    def grid_section(self) -> bytes:
        """Section 3 of the messages that its points were placed on."""
        return bytes.fromhex(self._settings["grid_section"])

    def check_writer(self, spec: StoreSpec) -> None:
        """Refuse a writer that knows another store than the one that is here now.

        Raises
        ------
        StoreMismatchError
            If the store was removed and made anew in between.
        """
        self.check_same(identity(spec.selection, spec.points))
        if (self.axis, self.layout, self.grid_section) != (spec.axis, spec.layout, spec.grid_section):
            raise StoreMismatchError(f"{self.url} is another store now than when this command began: give it again")

    def check_same(self, wanted: Mapping[str, Any]) -> None:
        """Refuse to continue a store that was made otherwise.

        Parameters
        ----------
        wanted : mapping
            As :func:`hrrr_dask.template.identity` gives it.

        Raises
        ------
        StoreMismatchError
            Saying all that differs.
        """
        said = self._settings
        differing = [
            f"  {key.replace('_', '-')}: {_difference(said.get(key), value)}"
            for key, value in wanted.items()
            if _unordered(said.get(key)) != _unordered(value)
        ]
        if differing:
            raise StoreMismatchError(
                f"{self.url} exists and was made with other settings:\n"
                + "\n".join(differing)
                + "\nRepeat the store's own settings to continue it, or write to another --store"
            )


def find_store_at(url: str, options: Mapping[str, str]) -> Existing | None:
    """The same as :func:`find_store`, for a URL; a directory that does not exist is not made."""
    directory = local_path(normal_url(url))
    if directory is not None and not directory.exists():
        return None
    return find_store(Blobs(url, options))


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
    except (ValueError, KeyError, TypeError):
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
    if not names or ".hrrr" in names:
        return
    some = ", ".join(sorted(names)[:5])
    raise StoreMismatchError(
        f"{blobs.url} is not empty and not a store of hrrr_dask (it holds {some}): choose another --store"
    )


def _unordered(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _difference(there: Any, asked: Any) -> str:
    """Say what differs; of two lists only what is in one of them."""
    if not isinstance(there, list) or not isinstance(asked, list):
        return f"the store has {there}, this run asks for {asked}"
    parts = [
        (", ".join(str(item) for item in there if item not in asked), "only in the store: "),
        (", ".join(str(item) for item in asked if item not in there), "only asked for: "),
    ]
    return "; ".join(word + items for items, word in parts if items)
