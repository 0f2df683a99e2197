"""Result types of the API, and a store's reports: counts, Markdown pages and PNG plots.

Uses `ledger` and `quality`. Reads no store: functions take arrays.
"""

__all__ = [
    "arrivals",
    "assessment",
    "checked",
    "differences",
    "findings",
    "flagmap",
    "heatmap",
    "quality_page",
    "results",
    "watched",
]
