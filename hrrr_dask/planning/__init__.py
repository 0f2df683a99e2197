"""Plans which files are read, and where their values are stored. Reads nothing.

Pure. Uses `catalog`, `config` and `display`. Promises that every wanted file is in exactly one step of one partition.
"""

__all__ = ["layout", "memory", "plan", "result", "runs"]
