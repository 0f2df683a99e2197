"""What will be read, and where it will lie in the store. Reads nothing.

Pure. Uses `catalog` and `config`. Promises that every wanted file is in exactly one step of one partition.
"""

__all__ = ["layout", "plan"]
