"""A backfill: the request, the tasks for files and partitions, and the loop that submits them to Dask.

`pipeline` is the spine: what happens to one file and to one partition. Uses everything below; together with
`clusters` the only package that knows Dask.
"""

__all__ = ["backfill", "calibrate", "costs", "loop", "probe", "request", "tasks", "until_complete", "waiting"]
