"""What Dask's settings for encrypted connections must name."""

from __future__ import annotations

import os

import dask.config

from hrrr_dask.errors import ConfigError

__all__ = ["check_certificates"]


def check_certificates() -> None:
    """Refuse to connect encrypted without the files that Dask's settings for it must name.

    Raises
    ------
    ConfigError
        Naming the setting, and the file if it cannot be read.
    """
    for name in ("ca-file", "client.cert", "client.key"):
        setting = f"distributed.comm.tls.{name}"
        path = dask.config.get(setting, None)
        if name == "client.key" and path is None:
            continue  # it may be in the certificate's file
        variable = "DASK_" + setting.upper().replace(".", "__").replace("-", "_")
        if path is None:
            raise ConfigError(
                f"an encrypted cluster needs Dask's setting {setting}: name the PEM file there or in {variable}"
            )
        if not os.access(path, os.R_OK):
            raise ConfigError(f"Dask's setting {setting} names {path}, which cannot be read: mend it")
