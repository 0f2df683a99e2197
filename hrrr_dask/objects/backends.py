"""Buckets, web servers and directories behind one door: a URL and a few options become an obstore store.

Both the archive (read) and the Zarr store (written) come through :func:`open_object_store`. Requests to S3 are signed
with what botocore's chain finds: the environment, ``~/.aws``, a web identity (IRSA), a container's or an instance's
role. Endpoints: the option, else ``AWS_ENDPOINT_URL_S3``, else ``AWS_ENDPOINT_URL``. Regions: the option, else
``AWS_REGION``, ``AWS_DEFAULT_REGION``, the profile's.
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
from hrrr_dask.objects.locations import NO_OPTIONS, check_options, local_path, normal_url, plain_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config, S3Credential

__all__ = ["BotocoreCredentials", "S3Place", "open_object_store", "s3_place"]

DEFAULT_REGION: Final = "us-east-1"
"""Where nothing names one; also where the archive is."""

CREDENTIAL_LIFE: Final = timedelta(minutes=10)
"""How long credentials are lent to obstore, which asks anew five minutes before the end; botocore hands out none
that have less than ten minutes left."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where on S3, for libraries that are told so in words of their own."""

    bucket: str
    """Its name."""
    prefix: str
    """Of all keys, without slashes around it; may be empty."""
    region: str
    """Of the bucket."""
    endpoint: str
    """URL of the server; empty for AWS."""
    allow_http: bool
    """Whether the endpoint may be unencrypted."""
    anonymous: bool
    """Whether requests are not signed."""
    path_style: bool
    """Whether the bucket stands in the path, not in the host's name."""


def s3_place(url: str, options: Mapping[str, str]) -> S3Place:
    """Resolve an ``s3://`` URL and its options as :func:`open_object_store` does."""
    parts, wanted = urlsplit(plain_url(normal_url(url))), dict(check_options(url, options))
    anonymous, endpoint = wanted.get("anonymous") == "true", _endpoint(wanted)
    return S3Place(
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
    max_retries: int = 6,
    create: bool = False,
) -> ObjectStore:
    """Open a bucket, web server or directory.

    Parameters
    ----------
    url : str
        Anything that :func:`~hrrr_dask.objects.locations.normal_url` reads; its path becomes the prefix of all keys.
        With ``icechunk+`` before it: the objects at that place, as they lie there.
    options : mapping of str to str
        See :mod:`hrrr_dask.objects.locations`.
    timeout_s : float
        For one whole request, body included [s].
    connect_timeout_s : float
        For reaching the server [s].
    max_retries : int
        How often obstore repeats a failed request; 0 where the caller has its own policy.
    create : bool
        Whether it will be written to: a missing directory is made, a web server is refused.

    Returns
    -------
    ObjectStore
        An obstore store; picklable.

    Raises
    ------
    ConfigError
        If the URL or an option is not understood, or a web server is to be written to.
    StoreAccessError
        If no credentials are found, or the directory is missing or cannot be made.
    """
    url = plain_url(normal_url(url))
    wanted = dict(check_options(url, options))
    if (directory := local_path(url)) is not None:
        return _open_directory(directory, create)
    client: ClientConfig = {
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=connect_timeout_s),
        "user_agent": f"hrrr-dask/{__version__}",
    }
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
            raise NotADirectoryError("there is no such directory on this machine")
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
            # obstore would let the variable overrule the option. Only then, as such a store cannot be unpickled
            # (obstore 0.12 writes the key without its aws_ and refuses to read that).
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
    except BaseError as error:  # its first line says what is wrong; the others may quote the file
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
        check_options("s3://", {"endpoint": found})  # one of the environment has been checked by nobody
    return found.rstrip("/")


def _region(wanted: Mapping[str, str], anonymous: bool) -> str:
    found = wanted.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not found and not anonymous:
        found = _ask_botocore(lambda session: session.get_config_variable("region"))
    return found or DEFAULT_REGION


class BotocoreCredentials:
    """Credentials for S3 from botocore's chain, found when this is made and refreshed as they near their end.

    A copy sent to another process looks for that process's own credentials: none are ever pickled.

    Raises
    ------
    StoreAccessError
        If the chain finds none, or those it finds cannot be used.
    """

    def __init__(self) -> None:
        self._credentials = _ask_botocore(_find_credentials)

    def __call__(self) -> S3Credential:
        """Lend the present credentials to obstore, for :data:`CREDENTIAL_LIFE`."""
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + CREDENTIAL_LIFE,
        }

    def __eq__(self, other: object) -> bool:
        """Any two are alike: each asks its own process."""
        return isinstance(other, BotocoreCredentials)

    def __hash__(self) -> int:
        """As :meth:`__eq__` asks."""
        return hash(BotocoreCredentials)

    def __reduce__(self) -> tuple[type[BotocoreCredentials], tuple[()]]:
        """Travel without the credentials."""
        return (BotocoreCredentials, ())


def _find_credentials(session: Any) -> Any:
    # The instance's metadata service is asked last, by default once and for a second: outside EC2 this fails soon.
    found = session.get_credentials()
    if found is None:
        raise StoreAccessError(
            "no credentials for S3 were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run "
            "with a role; for a public bucket give the option anonymous=true"
        )
    found.get_frozen_credentials()  # a role is assumed only now; better here than in the middle of a run
    return found


def _ask_botocore(question: Callable[[Any], Any]) -> Any:
    # Imported here because it takes 0.3 s, and anonymous reading needs none of it.
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        return question(Session())
    except (BotoCoreError, ClientError) as error:
        raise StoreAccessError(
            f"the credentials for S3 cannot be used: {error}; check AWS_PROFILE, the AWS_… environment and the role"
        ) from error
