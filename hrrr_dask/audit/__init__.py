"""Audits stores: `status`, `assess` (plausibility), `verify` and `verify_checksums` (correctness); `compact`.

Reads stores, and the archive through `reference`, which shares no code with the pipeline. Changes no value.
"""

__all__ = ["assess", "check", "checksums", "recent", "status", "verify"]
