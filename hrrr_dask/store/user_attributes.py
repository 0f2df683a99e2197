"""Attributes that others gave to a store's group or arrays: they stay when its documents are written anew. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hrrr_dask.store.template import ROOT_KEY

__all__ = ["with_strangers"]


def with_strangers(template: Mapping[str, bytes], there: Mapping[str, bytes]) -> dict[str, bytes]:
    """Keep the attributes that others have added, in each array's document and in the root's copy of it.

    Parameters
    ----------
    template : mapping of str to bytes
        Key to object, as :func:`hrrr_dask.store.template.build_template` gives them.
    there : mapping of str to bytes
        What lies at those keys now, if anything does.

    Returns
    -------
    dict of str to bytes
        The same keys in the same order. An attribute that is ours has our value; where nobody added one, the bytes are
        those of the template.
    """
    kept = dict(template)
    root = json.loads(template[ROOT_KEY])
    copies: dict[str, dict[str, Any]] = root["consolidated_metadata"]["metadata"]
    for name, document in copies.items():
        key = f"{name}/zarr.json"
        if _adopt(document, there.get(key)):
            kept[key] = json.dumps(document, indent=2).encode()
    _adopt(root, there.get(ROOT_KEY))
    kept[ROOT_KEY] = json.dumps(root, indent=1).encode()
    return kept


def _adopt(document: dict[str, Any], found: bytes | None) -> bool:
    """Take over the strangers' attributes of what was found; whether there are any."""
    ours = document["attributes"]
    strangers = {name: value for name, value in _attributes(found).items() if name not in ours}
    document["attributes"] = ours | strangers
    return bool(strangers)


def _attributes(found: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(found or b"{}")
    except ValueError:  # damaged, and about to be replaced
        return {}
    attributes = document.get("attributes") if isinstance(document, dict) else None
    return attributes if isinstance(attributes, dict) else {}
