"""Results of the API, and figures, tables and pictures of a store, as values and as files.

Uses `ledger` and `quality`. Reads no store: the caller has done that.
"""

__all__ = ["differences", "findings", "flagmap", "heatmap", "quality_page", "results"]
