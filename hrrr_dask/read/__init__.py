"""Reading a store from a notebook: `open_dataset`, and the accessor ``ds.hrrr``.

Uses `store` and xarray. Promises that nothing is read before it is needed.
"""

__all__ = ["opening"]
