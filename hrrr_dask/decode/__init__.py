"""From a message's bytes to values at cells: one protocol, engines behind it.

``eccodes`` is the reference. ``numba`` takes only the wanted cells out of the packed bytes, in a tenth of the time;
``auto`` is numba, and ecCodes for a packing that numba does not know. ``cfgrib`` reads the same message through xarray
as a whole file: slow, and another route through another library. All give the same float32 bits.
"""

from __future__ import annotations

import difflib
import functools
from importlib import import_module
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError

__all__ = ["COMPILED", "ENGINES", "Engine", "check_engine", "engine_named", "kernel_cache", "numba_engine"]


class Engine(Protocol):
    """What a decoder of points must do."""

    name: str
    """As ``--engine`` takes it."""

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message.

        Parameters
        ----------
        message : bytes or memoryview
            One whole GRIB2 message with one field, already checked from ``GRIB`` to ``7777``.
        cells : ndarray of int64, dims (cell,)
            Positions in the message's own order, ``y * nx + x``.

        Returns
        -------
        ndarray of float32, dims (cell,)
            The double-precision value rounded once [the message's own unit]; NaN where the message has none.

        Raises
        ------
        DecodeError
            If the packed values cannot be read, or a cell lies beyond the field.
        """
        ...

    def engine_for(self, message: bytes | memoryview) -> Engine:
        """The engine that would decode a message: itself, or the one that stands in for it."""
        ...


ENGINES: Final = {
    "auto": ("hrrr_dask.decode.auto_engine", "AutoEngine"),
    "numba": ("hrrr_dask.decode.numba_engine", "NumbaEngine"),
    "eccodes": ("hrrr_dask.decode.eccodes_engine", "EccodesEngine"),
    "cfgrib": ("hrrr_dask.decode.cfgrib_engine", "CfgribEngine"),
}
"""Engine name to the module and class that make it; imported when first asked for."""

COMPILED: Final = ("auto", "numba")
"""Engines with kernels that are compiled, and kept; see :mod:`hrrr_dask.decode.kernel_cache`."""


def check_engine(name: str) -> None:
    """Refuse an engine that there is not, without loading one that there is.

    Raises
    ------
    ConfigError
        Saying which there are.
    """
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"take one of {', '.join(ENGINES)}"
        raise ConfigError(f"decoding engine {name!r} is unknown: {hint}")


@functools.cache
def engine_named(name: str) -> Engine:
    """The engine of that name, one in each process.

    Raises
    ------
    ConfigError
        If there is none.
    """
    check_engine(name)
    module, cls = ENGINES[name]
    engine: Engine = getattr(import_module(module), cls)()
    return engine
