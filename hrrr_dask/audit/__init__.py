"""Checks stores: `status`, `assess` (plausible?), `verify` and `verify_checksums` (correct?), and `compact`.

Reads stores, and the archive through `reference`, which shares no code with the pipeline. Writes no value.
"""

__all__ = ["assess", "checksums", "status", "verify"]
