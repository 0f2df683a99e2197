"""Sources of the archive: the public mirrors by name, or any URL or directory laid out like NOAA's bucket.

URLs and periods of the mirrors are from NOAA and the cloud providers: registry.opendata.aws/noaa-hrrr-pds,
console.cloud.google.com/marketplace/product/noaa-public/hrrr, planetarycomputer.microsoft.com/dataset/storage/noaa-hrrr
and nomads.ncep.noaa.gov.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hrrr_dask.errors import ConfigError
from hrrr_dask.objects.locations import ICECHUNK, NO_OPTIONS, check_options, local_path, normal_url, redact_url

__all__ = ["SOURCES", "Source", "object_url", "parse_source"]


@dataclass(frozen=True, slots=True)
class Source:
    """A URL that holds the archive, or a part of it, under the keys of NOAA's bucket."""

    name: str
    """Name in :data:`SOURCES`, else the URL."""
    url: str
    """``s3://``, ``gs://``, ``http(s)://`` or ``file://``, without a slash at the end."""
    options: tuple[tuple[str, str], ...] = ()
    """Sorted options of the URL; see :mod:`hrrr_dask.objects.locations`. Never a secret."""
    per_minute: int = 0
    """Maximum requests per minute of all processes of one machine; 0 for no limit."""


SOURCES: Final = {
    source.name: source
    for source in (
        # The endpoint is explicit: AWS_ENDPOINT_URL, set for the user's own store, must not redirect the public bucket.
        Source(
            "aws",
            "s3://noaa-hrrr-bdp-pds",
            (("anonymous", "true"), ("endpoint", "https://s3.us-east-1.amazonaws.com"), ("region", "us-east-1")),
        ),
        Source("google", "gs://high-resolution-rapid-refresh", (("anonymous", "true"),)),
        Source("azure", "https://noaahrrr.blob.core.windows.net/hrrr"),
        # NOMADS blocks addresses that send more than about 120 requests a minute.
        Source("nomads", "https://nomads.ncep.noaa.gov/pub/data/nccf/com/hrrr/prod", per_minute=100),
    )
}
"""The public mirrors by name. Azure starts at 2021-03-21; NOMADS keeps two days."""


def parse_source(text: str, options: Mapping[str, str] = NO_OPTIONS) -> Source:
    """Parse the value of ``--source``.

    Parameters
    ----------
    text : str
        A name in :data:`SOURCES`, a URL, or the path of an existing directory.
    options : mapping of str to str
        Options of the URL; they override those of a mirror. ``requests_per_minute`` limits any source.

    Returns
    -------
    Source
        With an absolute path for a directory.

    Raises
    ------
    ConfigError
        If the text is none of these, the directory does not exist, or an option is unknown or looks like a secret.

    Examples
    --------
    >>> parse_source("aws").url
    's3://noaa-hrrr-bdp-pds'
    >>> parse_source("s3://my-mirror/hrrr/", {"anonymous": "true"})
    Source(name='s3://my-mirror/hrrr', url='s3://my-mirror/hrrr', options=(('anonymous', 'true'),), per_minute=0)
    """
    options = dict(options)
    limit = _limit(options.pop("requests_per_minute", None))
    if (known := SOURCES.get(text)) is not None:
        checked = check_options(known.url, dict(known.options) | options)
        return Source(known.name, known.url, checked, known.per_minute if limit is None else limit)
    if not text.strip():
        raise ConfigError(f"a source is empty: write one of {', '.join(SOURCES)}, a URL or a directory")
    url = normal_url(text)
    if url.startswith(ICECHUNK):
        raise ConfigError(
            f"source {redact_url(text)!r} is a store, not an archive of GRIB files: icechunk+ is for --store"
        )
    directory = local_path(url)
    if directory is not None and not directory.is_dir():
        raise ConfigError(_not_a_source(text))
    return Source(url, url, check_options(url, options), limit or 0)


def _limit(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit()):
        raise ConfigError(f"option requests_per_minute is a whole number, 0 for no limit, not {text!r}")
    return None if text is None else int(text)


def _not_a_source(text: str) -> str:
    near = difflib.get_close_matches(text.lower(), SOURCES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"source {redact_url(text)!r} is neither a known name nor an existing directory: {hint}write one of "
        f"{', '.join(SOURCES)}, a URL (s3://, gs://, http(s)://, file://) or the path of a directory laid out like "
        "the bucket"
    )


def object_url(source: Source, key: str) -> str:
    """Return the URL of an object, or its path in a directory, for messages and for the ledger.

    Examples
    --------
    >>> object_url(SOURCES["google"], "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2.idx")
    'gs://high-resolution-rapid-refresh/hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2.idx'
    """
    directory = local_path(source.url)
    return f"{source.url}/{key}" if directory is None else str(directory / key)
