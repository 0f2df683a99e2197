"""Applies patches by content type.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

import jsonpatch

MERGE_KEYS = ("uid", "name", "containerPort", "port", "type", "mountPath", "ip")
"""Lists are merged by the first of these keys that all items have."""


def apply_patch(content_type, old, patch):
    """Apply a patch to an object."""
    if content_type == "application/json-patch+json":
        return jsonpatch.apply_patch(old, patch)
    if content_type == "application/merge-patch+json":
        return merge(old, patch)
    return strategic(old, patch)  # also for server-side apply by a single owner


def merge(old, patch):
    """Apply a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value)
    return found


def strategic(old, patch):
    """Apply a strategic merge patch: like a merge patch, but lists of items with keys are merged by key."""
    if isinstance(patch, dict):
        found = dict(old) if isinstance(old, dict) else {}
        for key, value in patch.items():
            if value is None:
                found.pop(key, None)
            elif not key.startswith("$"):
                found[key] = strategic(found.get(key), value)
        return found
    if isinstance(patch, list) and isinstance(old, list) and (key := _merge_key(old + patch)):
        items = {item[key]: item for item in old}
        for item in patch:
            if item.get("$patch") == "delete":
                items.pop(item[key], None)
            else:
                items[item[key]] = strategic(items.get(item[key]), item)
        return list(items.values())
    return patch


def _merge_key(items):
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    return next((key for key in MERGE_KEYS if all(key in item for item in items)), None)
