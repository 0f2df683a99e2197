"""Reading NOAA's files: sources, inventories, byte ranges, messages and fail-over between sources.

The only package that reads the archive. Uses `objects` for bytes, `catalog` for keys and `grib` for the check of each
message. Promises that bytes are complete or that an error says why not.
"""

__all__ = ["breaker", "failover", "fetch", "grid_probe", "messages", "prefixes", "sources"]
