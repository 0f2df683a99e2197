"""Label and field selectors, and the readiness of pods."""

from __future__ import annotations

import re


def labels_match(labels, selector):
    """Return whether labels match a selector such as ``a=b,c in (d, e),!f``."""
    parts = re.findall(r"[^,(]+(?:\([^)]*\))?", selector or "")
    return all(_label_matches(labels, part.strip()) for part in parts if part.strip())


def _label_matches(labels, part):
    if match := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", part):
        values = {value.strip() for value in match[3].split(",")}
        return (labels.get(match[1]) in values) == (match[2] == "in")
    if match := re.fullmatch(r"([^!=\s]+)\s*(!=|==?)\s*(\S*)", part):
        return (labels.get(match[1]) == match[3]) == (match[2] != "!=")
    return part[1:] not in labels if part.startswith("!") else part in labels


def fields_match(item, selector):
    """Return whether an object's fields match a selector such as ``status.phase=Running``."""
    for part in filter(None, (selector or "").split(",")):
        path, operator, value = re.fullmatch(r"([^!=]+)(!=|==?)(.*)", part).groups()
        if (str(get_path(item, path) or "") == value) == (operator == "!="):
            return False
    return True


def get_path(item, path):
    """Return the value at a dotted path; None if it does not exist."""
    for key in path.split("."):
        item = (item or {}).get(key)
    return item


def filter_items(items, query):
    """Return the items that match the selectors of a query."""
    return [item for item in items if matches(item, query)]


def matches(item, query):
    """Return whether an item matches the selectors of a query."""
    labels = item["metadata"].get("labels") or {}
    return labels_match(labels, query.get("labelSelector")) and fields_match(item, query.get("fieldSelector"))


def is_ready(pod):
    """Return whether the containers of a pod are ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
