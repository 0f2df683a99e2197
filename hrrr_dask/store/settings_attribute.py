"""Writes a store's settings as one attribute of the group, and reads them. Pure.

The attribute is a string of JSON, as other formats that xarray writes have no attributes of several levels. Stores that
were made before have the settings themselves there, until they grow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["SETTINGS", "encode_root", "encode_settings", "settings_in"]

SETTINGS: Final = "hrrr_dask"
"""Name of the attribute."""


def encode_settings(settings: Mapping[str, Any]) -> str:
    """Return the attribute of a store with these settings."""
    return json.dumps(settings)


def settings_in(root: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a root document, however they are written.

    Raises
    ------
    KeyError, TypeError, ValueError
        If there are none.
    """
    found = root["attributes"][SETTINGS]
    return dict(json.loads(found) if isinstance(found, str) else found)


def encode_root(data: bytes) -> bytes:
    """Return a root document with the settings as they are written now, which a store of another way is compared by."""
    root = json.loads(data)
    if isinstance(root["attributes"][SETTINGS], str):
        return data
    root["attributes"][SETTINGS] = encode_settings(root["attributes"][SETTINGS])
    return json.dumps(root, indent=1).encode()
