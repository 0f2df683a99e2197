"""Our page of the Dask dashboard: how far each run is, what it costs, and whether source, decoder or store is slow.

Uses only `display`, `objects`, `outcomes` and `telemetry`. Promises that a run neither fails nor loses anything if a
scheduler does not take the page, and that the page shows no secret and needs nothing from elsewhere.
"""

__all__ = ["publish"]
