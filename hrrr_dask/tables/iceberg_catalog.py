"""Opens the Iceberg catalogue of a warehouse: SQLite in its directory, or what pyiceberg is configured for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from hrrr_dask.errors import ConfigError, StoreAccessError
from hrrr_dask.objects.backends import resolve_s3
from hrrr_dask.objects.locations import ICECHUNK, local_path, normal_url
from hrrr_dask.objects.objects import explain_error

__all__ = ["CATALOG_FILE", "catalog_of", "explained", "require_pyiceberg", "unquoted_url"]

CATALOG_FILE: Final = "catalog.db"
"""Name of the SQLite database in a directory."""

DEFAULT_NAME: Final = "default"
"""Name of a catalogue that has no other; pyiceberg's, too."""


def require_pyiceberg() -> None:
    """Check that pyiceberg can be imported.

    Raises
    ------
    ConfigError
        If it is not installed; says how to install it.
    """
    try:
        import pyiceberg.catalog.sql  # noqa: F401, PLC0415  optional
    except ImportError as error:
        raise ConfigError(
            f"a table of Iceberg needs pyiceberg with SQLAlchemy ({error}): pip install 'hrrr-dask[tables]'"
        ) from error


def unquoted_url(url: str) -> str:
    """Return a URL as Iceberg's metadata has it: paths are not percent-encoded there.

    Raises
    ------
    ConfigError
        If a path has characters that end the path of a URL.

    Examples
    --------
    >>> unquoted_url("/data/my warehouse"), unquoted_url("s3://bucket/warehouse/")
    ('file:///data/my warehouse', 's3://bucket/warehouse')
    """
    normal = normal_url(url)
    if normal.startswith(ICECHUNK):
        raise ConfigError(f"{url!r} is not a place for a warehouse: leave out {ICECHUNK}")
    path = local_path(normal)
    if path is None:
        return normal
    if clash := {"?", "#", "%"} & set(str(path)):
        raise ConfigError(f"{str(path)!r} has {min(clash)!r} in it, which Iceberg cannot read: take another directory")
    return f"file://{path}"


@contextmanager
def catalog_of(warehouse: str, options: Mapping[str, str], given: Mapping[str, str]) -> Iterator[Any]:
    """Open the catalogue, and close its connections at the end.

    Parameters
    ----------
    warehouse : str
        Directory or URL of the warehouse.
    options : mapping of str to str
        Options of its storage, as for a store.
    given : mapping of str to str
        Properties of pyiceberg's catalogue, such as ``uri``, and ``name`` for one of its configuration. If empty, a
        directory has a catalogue in SQLite, and any other place the ``default`` one of pyiceberg's configuration.

    Raises
    ------
    ConfigError
        If there is no catalogue for a bucket, or its properties cannot be used.
    """
    require_pyiceberg()
    from pyiceberg.catalog import list_catalogs, load_catalog  # noqa: PLC0415
    from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415
    from pyiceberg.exceptions import NoSuchPropertyException, NotInstalledError  # noqa: PLC0415
    from pyiceberg.utils.config import Config  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    directory = None if given else local_path(normal_url(warehouse))
    if directory is not None:
        with explained("open", warehouse):
            directory.mkdir(parents=True, exist_ok=True)
            # Its own way of making the tables leaves a connection open if another process makes them at this moment.
            catalog = SqlCatalog(DEFAULT_NAME, uri=f"sqlite:///{directory / CATALOG_FILE}", init_catalog_tables="false")
    else:
        name = given.get("name", DEFAULT_NAME)
        if set(given) <= {"name"} and name not in list_catalogs():
            raise ConfigError(
                f"no Iceberg catalogue is known for {warehouse}, {name!r} is not in pyiceberg's configuration: give "
                "--catalog uri=… (and type=rest, glue or sql), or configure it by .pyiceberg.yaml or "
                f"PYICEBERG_CATALOG__{name.upper()}__URI"
            )
        configured = Config().get_catalog_config(name) or {}
        defaults = {key: value for key, value in _storage(warehouse, options).items() if key not in configured}
        properties = defaults | {key: value for key, value in given.items() if key != "name"}
        with explained("open the catalogue of", warehouse):
            try:
                catalog = load_catalog(name, **properties)
            except NotInstalledError as error:
                raise ConfigError(f"pyiceberg cannot open the catalogue {name!r}: {error}") from error
            except (ValueError, ArgumentError, NoSuchPropertyException) as error:
                # Its text can have the properties in it, and so a password.
                raise ConfigError(
                    f"pyiceberg cannot make the catalogue {name!r} of the properties {', '.join(sorted(properties))} "
                    f"({type(error).__name__}): see its page about configuration, and check --catalog"
                ) from None
    with closing(catalog):
        if directory is not None:
            with explained("open", warehouse):
                _make_tables(catalog)
        yield catalog


def _make_tables(catalog: Any) -> None:
    """Make the two tables of the database, if they are not there; another process can make each at the same moment."""
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    for attempt in range(3):
        try:
            catalog.create_tables()
        except OperationalError:
            if attempt == 2:
                raise
        else:
            return


@contextmanager
def explained(doing: str, place: str) -> Iterator[None]:
    """Turn errors of the catalogue and of the storage into our own.

    Raises
    ------
    StoreAccessError
        Instead of them; says what was being done.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from pyiceberg.exceptions import CommitStateUnknownException, RESTError  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        yield
    except CommitStateUnknownException as error:
        raise StoreAccessError(
            f"cannot say whether the commit to {place} was made, the catalogue gave no answer: run the same command "
            "again, it continues from what there is"
        ) from error
    except (RESTError, SQLAlchemyError, BotoCoreError, ClientError, RequestException, OSError) as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise StoreAccessError(f"cannot {doing} {place}: {explain_error(str(error))}{cause}") from error


def _storage(warehouse: str, options: Mapping[str, str]) -> dict[str, str]:
    """Properties by which pyiceberg reads and writes a bucket as the store does.

    s3fs, not Arrow: it takes credentials from the same chain as the rest of the package, and renews them.
    """
    if urlsplit(normal_url(warehouse)).scheme != "s3":
        return {}
    place = resolve_s3(warehouse, options)
    found = {
        "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
        "s3.region": place.region,
        "s3.anonymous": "true" if place.anonymous else "",
        "s3.endpoint": place.endpoint,
        "s3.force-virtual-addressing": "" if place.path_style else "true",
    }
    return {key: value for key, value in found.items() if value}
