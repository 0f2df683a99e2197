"""Preserves attributes that users added to a store's group or arrays when its metadata is rewritten. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from hrrr_dask.store.template import ROOT_KEY

__all__ = ["keep_user_attributes"]


_OF_CODING: Final = frozenset({"dtype", "_FillValue"})
"""Attributes that say how values are coded; they are ours, also where a document no longer has them."""


def keep_user_attributes(template: Mapping[str, bytes], there: Mapping[str, bytes]) -> dict[str, bytes]:
    """Copy attributes that users added into each array's new document and into the root's copy of it.

    Parameters
    ----------
    template : mapping of str to bytes
        Key to new object, from :func:`hrrr_dask.store.template.build_template`.
    there : mapping of str to bytes
        Key to existing object.

    Returns
    -------
    dict of str to bytes
        The same keys in the same order. Attributes of the template keep its values; without added ones, the bytes are
        those of the template.
    """
    kept = dict(template)
    root = json.loads(template[ROOT_KEY])
    copies: dict[str, dict[str, Any]] = root["consolidated_metadata"]["metadata"]
    for name, document in copies.items():
        key = f"{name}/zarr.json"
        if _copy_user_attributes(document, there.get(key)):
            kept[key] = json.dumps(document, indent=2).encode()
    _copy_user_attributes(root, there.get(ROOT_KEY))
    kept[ROOT_KEY] = json.dumps(root, indent=1).encode()
    return kept


def _copy_user_attributes(document: dict[str, Any], found: bytes | None) -> bool:
    """Copy the user's attributes of an existing document; returns whether there are any."""
    ours = document["attributes"]
    strangers = {name: value for name, value in _attributes(found).items() if name not in {*ours, *_OF_CODING}}
    document["attributes"] = ours | strangers
    return bool(strangers)


def _attributes(found: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(found or b"{}")
    except ValueError:  # damaged, and about to be replaced
        return {}
    attributes = document.get("attributes") if isinstance(document, dict) else None
    return attributes if isinstance(attributes, dict) else {}
