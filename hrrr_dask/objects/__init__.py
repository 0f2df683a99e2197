"""Bytes below a URL: buckets, web servers, directories and Icechunk repositories, through one interface.

Uses only `errors`. Promises that an object is written whole or not at all, that ``put if absent`` and ``put if
unchanged`` hold between processes, that no error text contains a secret, and that no request in a forked process waits
for ever.
"""

__all__ = ["backends", "forks", "icechunk", "locations", "objects", "rate_limit", "transactions", "zarr_stores"]
