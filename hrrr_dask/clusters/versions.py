"""Checks that the whole cluster has the same versions of hrrr_dask, Python and Dask as this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from distributed import Client

import hrrr_dask
from hrrr_dask.errors import RunError

__all__ = ["check_workers", "find_mismatches"]

_PACKAGE: Final = "hrrr-dask"
_PARTS: Final[Mapping[str, int | None]] = {_PACKAGE: None, "python": 2, "dask": 2, "distributed": 2}
"""Package to the number of parts of its version that must be equal; None for all."""

_MAX_NAMED: Final = 3
"""Maximum number of members of a cluster that an error names."""


def check_workers(client: Client) -> None:
    """Refuse a cluster without hrrr_dask, or with another version of it, of Python or of Dask than this machine.

    Workers that join later are not checked: pods of one image have the same versions.

    Raises
    ------
    RunError
        If there are any; names them, and what an image must have.
    """
    found = client.get_versions(packages=[_PACKAGE])
    here = dict(found["client"]["packages"]) | {_PACKAGE: hrrr_dask.__version__}
    members = {address: packages["packages"] for address, packages in found["workers"].items()}
    if found["scheduler"]:
        members = {"the scheduler": found["scheduler"]["packages"], **members}
    wrong = find_mismatches(here, members)
    if not wrong:
        return
    some = "; ".join(f"{who} has {what}" for who, what in list(wrong.items())[:_MAX_NAMED])
    versions = {_display_name(package): _version_prefix(here[package], parts) for package, parts in _PARTS.items()}
    wanted = ", ".join(f"{name} {version}" for name, version in versions.items())
    raise RunError(
        f"{len(wrong)} of {len(members)} members of the cluster have other versions than this machine: {some}. "
        f"Build their image with, or install there, {wanted}; or run this command in that image"
    )


def find_mismatches(here: Mapping[str, str], members: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the members that have other versions, and their versions.

    Parameters
    ----------
    here : mapping of str to str
        Package to its version on this machine.
    members : mapping
        Member to its versions, None where a package is missing.

    Examples
    --------
    >>> mine = {"hrrr-dask": "1.0", "python": "3.11.7", "dask": "2026.8.0", "distributed": "2026.8.0"}
    >>> find_mismatches(mine, {"tcp://w": mine | {"python": "3.11.9", "dask": "2026.7.1"}})
    {'tcp://w': 'dask 2026.7.1'}
    """
    wrong = {who: ", ".join(_differences(here, there)) for who, there in members.items()}
    return {who: text for who, text in wrong.items() if text}


def _differences(here: Mapping[str, str], there: Mapping[str, Any]) -> Iterator[str]:
    for package, parts in _PARTS.items():
        found = there.get(package)
        if _version_prefix(found, parts) != _version_prefix(here[package], parts):
            yield f"{_display_name(package)} {found}" if found else f"no {_display_name(package)}"


def _version_prefix(version: str | None, parts: int | None) -> str:
    return ".".join((version or "").split(".")[:parts])


def _display_name(package: str) -> str:
    return {_PACKAGE: "hrrr_dask", "python": "Python"}.get(package, package)
