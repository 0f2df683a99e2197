"""Is a store complete, plausible and right: `status`, `assess`, `verify`, `verify_checksums` and `compact`.

Reads stores, and the archive through `reference`, which shares no code with the way the values came. Writes no value.
"""

__all__ = ["assess", "checksums", "status", "verify"]
