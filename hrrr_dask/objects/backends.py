"""Opens object stores, web servers and local directories through one interface, from a URL and options.

Both the archive and the Zarr store are opened with :func:`open_object_store`. Requests to S3 are signed with the
credentials of botocore's chain: environment, ``~/.aws``, web identity (IRSA), role of a container or an
instance. Endpoint: the option, else ``AWS_ENDPOINT_URL_S3``, else ``AWS_ENDPOINT_URL``. Region: the option, else
``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from obstore.exceptions import BaseError
from obstore.store import GCSStore, HTTPStore, LocalStore, S3Store

from hrrr_dask import __version__
from hrrr_dask.errors import ConfigError, StoreAccessError
from hrrr_dask.objects.forks import note_use
from hrrr_dask.objects.locations import NO_OPTIONS, check_options, local_path, normal_url, plain_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config, S3Credential

__all__ = ["BotocoreCredentials", "S3Location", "open_object_store", "resolve_s3"]

DEFAULT_REGION: Final = "us-east-1"
"""Region if none is configured; the archive's region."""

CREDENTIAL_LIFETIME: Final = timedelta(minutes=10)
"""How long credentials are lent to obstore, which renews them five minutes before the end; botocore never returns
credentials with less than ten minutes left."""


@dataclass(frozen=True, slots=True)
class S3Location:
    """Location on S3, for libraries with options of their own."""

    bucket: str
    """Name of the bucket."""
    prefix: str
    """Prefix of all keys, without slashes around it; may be empty."""
    region: str
    """Region of the bucket."""
    endpoint: str
    """URL of the server; empty for AWS."""
    allow_http: bool
    """Whether the endpoint may be unencrypted."""
    anonymous: bool
    """Whether requests are unsigned."""
    path_style: bool
    """Whether the bucket is in the path rather than in the host name."""


def resolve_s3(url: str, options: Mapping[str, str]) -> S3Location:
    """Resolve an ``s3://`` URL and its options as :func:`open_object_store` does."""
    parts, wanted = urlsplit(plain_url(normal_url(url))), dict(check_options(url, options))
    anonymous, endpoint = wanted.get("anonymous") == "true", _endpoint(wanted)
    return S3Location(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        region=_region(wanted, anonymous),
        endpoint=endpoint,
        allow_http=_allows_http(wanted, endpoint),
        anonymous=anonymous,
        path_style=wanted.get("virtual_hosted_style") != "true",
    )


def open_object_store(
    url: str,
    options: Mapping[str, str] = NO_OPTIONS,
    *,
    timeout_s: float = 60.0,
    connect_timeout_s: float = 10.0,
    read_timeout_s: float = 0.0,
    max_retries: int = 6,
    create: bool = False,
) -> ObjectStore:
    """Open a bucket, web server or directory.

    Parameters
    ----------
    url : str
        Anything that :func:`~hrrr_dask.objects.locations.normal_url` reads; its path becomes the prefix of all keys.
        A prefix ``icechunk+`` is ignored: the plain objects of the repository are opened.
    options : mapping of str to str
        See :mod:`hrrr_dask.objects.locations`.
    timeout_s : float
        Timeout of one whole request, including its body [s].
    connect_timeout_s : float
        Timeout for connecting to the server [s].
    read_timeout_s : float
        Longest wait for the first or the next bytes of a response; 0 for no such limit [s].
    max_retries : int
        Maximum retries by obstore; 0 if the caller has its own policy.
    create : bool
        Open for writing: a missing directory is made, a web server is refused.

    Returns
    -------
    ObjectStore
        An obstore store; picklable. In a forked process it may only describe a place, see
        :mod:`hrrr_dask.objects.forks`.

    Raises
    ------
    ConfigError
        If the URL or an option is invalid, or a web server is opened for writing.
    StoreAccessError
        If no credentials are found, or the directory is missing or cannot be made.
    """
    url = plain_url(normal_url(url))
    wanted = dict(check_options(url, options))
    note_use("obstore")
    if (directory := local_path(url)) is not None:
        return _open_directory(directory, create)
    client: ClientConfig = {
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=connect_timeout_s),
        "user_agent": f"hrrr-dask/{__version__}",
    }
    if read_timeout_s:
        client["read_timeout"] = timedelta(seconds=read_timeout_s)
    retries: RetryConfig = {"max_retries": max_retries}
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _open_s3(parts, wanted, client, retries)
    if parts.scheme == "gs":
        return _open_gcs(parts, wanted, client, retries)
    if create:
        raise ConfigError(f"{url} is a web server and cannot be written to: write s3://, gs:// or a directory")
    client["allow_http"] = parts.scheme == "http"
    return HTTPStore(url, client_options=client, retry_config=retries)


def _open_directory(directory: Path, create: bool) -> LocalStore:
    try:
        if create:
            directory.mkdir(parents=True, exist_ok=True)
        elif not directory.is_dir():
            found = "it is a file" if directory.exists() else "there is no such directory on this machine"
            raise NotADirectoryError(found)
    except OSError as error:
        raise StoreAccessError(
            f"directory {directory} cannot be opened: {error.strerror or error}; check the path, its permissions and, "
            "on a cluster, that every worker mounts it"
        ) from error
    return LocalStore(directory)


def _open_s3(parts: SplitResult, wanted: Mapping[str, str], client: ClientConfig, retries: RetryConfig) -> S3Store:
    anonymous = wanted.get("anonymous") == "true"
    config: S3Config = {"region": _region(wanted, anonymous), "skip_signature": anonymous}
    if endpoint := _endpoint(wanted):
        config["endpoint"] = endpoint
        if os.environ.get("AWS_ENDPOINT_URL_S3", endpoint).rstrip("/") != endpoint:
            # obstore lets the environment variable override the option. Set only in that case, as such a store cannot
            # be unpickled (obstore 0.12 writes the key without its aws_ and rejects it when reading).
            config["aws_endpoint_url_s3"] = endpoint
    if "virtual_hosted_style" in wanted:
        config["virtual_hosted_style_request"] = wanted["virtual_hosted_style"] == "true"
    client["allow_http"] = _allows_http(wanted, endpoint)
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options=client,
        retry_config=retries,
        credential_provider=None if anonymous else BotocoreCredentials(),
    )


def _open_gcs(parts: SplitResult, wanted: Mapping[str, str], client: ClientConfig, retries: RetryConfig) -> GCSStore:
    config: GCSConfig = {"skip_signature": wanted.get("anonymous") == "true"}
    if endpoint := wanted.get("endpoint", ""):
        config["base_url"] = endpoint
    client["allow_http"] = _allows_http(wanted, endpoint)
    prefix = parts.path.strip("/") or None
    try:
        return GCSStore(parts.netloc, prefix=prefix, config=config, client_options=client, retry_config=retries)
    except BaseError as error:  # the first line says what is wrong; the others may quote the file
        why = str(error).partition("\n")[0]
        raise StoreAccessError(
            f"the credentials for gs://{parts.netloc} cannot be used: {why}; check the file that "
            "GOOGLE_APPLICATION_CREDENTIALS names, or give the option anonymous=true for a public bucket"
        ) from None


def _allows_http(wanted: Mapping[str, str], endpoint: str) -> bool:
    return wanted.get("allow_http", str(endpoint.startswith("http://")).lower()) == "true"


def _endpoint(wanted: Mapping[str, str]) -> str:
    found = wanted.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if found:
        check_options("s3://", {"endpoint": found})  # an endpoint from the environment has not been checked yet
    return found.rstrip("/")


def _region(wanted: Mapping[str, str], anonymous: bool) -> str:
    found = wanted.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not found and not anonymous:
        found = _ask_botocore(lambda session: session.get_config_variable("region"))
    return found or DEFAULT_REGION


class BotocoreCredentials:
    """Credentials for S3 from botocore's chain, refreshed before they expire.

    Credentials are never pickled: a copy in another process finds that process's own.

    Raises
    ------
    StoreAccessError
        If the chain finds no usable credentials.
    """

    def __init__(self) -> None:
        self._credentials = _ask_botocore(_find_credentials)

    def __call__(self) -> S3Credential:
        """Return the current credentials to obstore, for :data:`CREDENTIAL_LIFETIME`."""
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + CREDENTIAL_LIFETIME,
        }

    def __eq__(self, other: object) -> bool:
        """All instances are equal: each uses its own process's credentials."""
        return isinstance(other, BotocoreCredentials)

    def __hash__(self) -> int:
        """Consistent with :meth:`__eq__`."""
        return hash(BotocoreCredentials)

    def __reduce__(self) -> tuple[type[BotocoreCredentials], tuple[()]]:
        """Pickle without the credentials."""
        return (BotocoreCredentials, ())


def _find_credentials(session: Any) -> Any:
    # The chain asks the instance metadata service last. One attempt of one second fails soon outside EC2.
    found = session.get_credentials()
    if found is None:
        raise StoreAccessError(
            "no credentials for S3 were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run "
            "with a role; for a public bucket give the option anonymous=true"
        )
    found.get_frozen_credentials()  # assumes a role now rather than in the middle of a run
    return found


def _ask_botocore(question: Callable[[Any], Any]) -> Any:
    # Imported here because it takes 0.3 s and anonymous access does not need it.
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        return question(Session())
    except (BotoCoreError, ClientError) as error:
        raise StoreAccessError(
            f"the credentials for S3 cannot be used: {error}; check AWS_PROFILE, the AWS_… environment and the role"
        ) from error
