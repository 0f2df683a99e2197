"""Decodes GRIB2 messages to values at grid cells, with interchangeable engines: numba, ecCodes and cfgrib.

``eccodes`` is the reference. ``numba`` unpacks only the wanted cells, in a tenth of the time. ``auto`` (the default)
uses numba and falls back to ecCodes for packings that numba does not support. ``cfgrib`` opens each message as a file
with xarray: slow, but independent of the other code. All engines return identical float32 bits.
"""

from __future__ import annotations

import difflib
import functools
from importlib import import_module
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError

__all__ = ["COMPILED_ENGINES", "ENGINES", "Engine", "check_engine", "get_engine", "kernel_cache", "numba_engine"]


class Engine(Protocol):
    """Protocol of a decoding engine."""

    name: str
    """Name of the engine, as in ``--engine``."""

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message.

        Parameters
        ----------
        message : bytes or memoryview
            One complete GRIB2 message with one field; its framing, ``GRIB`` to ``7777``, is already checked.
        cells : ndarray of int64, dims (cell,)
            Flat indices in the order of the message, ``y * nx + x``.

        Returns
        -------
        ndarray of float32, dims (cell,)
            Double-precision values rounded once [unit of the message]; NaN where the message has no value.

        Raises
        ------
        DecodeError
            If the packed values cannot be read, or a cell is outside the field.
        """
        ...

    def engine_for(self, message: bytes | memoryview) -> Engine:
        """Return the engine that decodes a message: this one, or its fallback."""
        ...


ENGINES: Final = {
    "auto": ("hrrr_dask.decode.auto_engine", "AutoEngine"),
    "numba": ("hrrr_dask.decode.numba_engine", "NumbaEngine"),
    "eccodes": ("hrrr_dask.decode.eccodes_engine", "EccodesEngine"),
    "cfgrib": ("hrrr_dask.decode.cfgrib_engine", "CfgribEngine"),
}
"""Engine name to its module and class; the module is imported on first use."""

COMPILED_ENGINES: Final = ("auto", "numba")
"""Engines with compiled and cached kernels; see :mod:`hrrr_dask.decode.kernel_cache`."""


def check_engine(name: str) -> None:
    """Check that an engine exists, without importing it.

    Raises
    ------
    ConfigError
        If it does not exist; the text lists those that do.
    """
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"take one of {', '.join(ENGINES)}"
        raise ConfigError(f"decoding engine {name!r} is unknown: {hint}")


@functools.cache
def get_engine(name: str) -> Engine:
    """Return the engine of a name; one instance per process.

    Raises
    ------
    ConfigError
        If no engine has that name.
    """
    check_engine(name)
    module, cls = ENGINES[name]
    engine: Engine = getattr(import_module(module), cls)()
    return engine
