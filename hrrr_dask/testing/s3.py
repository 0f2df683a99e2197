"""Runs a local S3 server (moto) on the loopback interface."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hrrr_dask.errors import ConfigError

__all__ = ["LoopbackS3", "loopback_s3"]

REGION: Final = "us-east-1"
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class LoopbackS3:
    """A running S3 server; its content is deleted when the context exits.

    Examples
    --------
    >>> with loopback_s3() as s3:
    ...     s3.create_bucket("hrrr")
    ...     keys = s3.upload("archive/hrrr.20240702", "hrrr")
    ...     listed = s3.client().list_objects_v2(Bucket="hrrr")["KeyCount"]
    >>> len(keys) == listed, s3.environment()["AWS_ENDPOINT_URL"] == s3.endpoint
    (True, True)
    """

    port: int
    """TCP port on 127.0.0.1."""

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return f"http://{LOOPBACK}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return environment variables that point botocore, obstore and s3fs to this server, with dummy credentials."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3") -> Any:
        """Return a botocore client for this server, which has ``sns`` and ``sqs``, too."""
        import botocore.session  # noqa: PLC0415  # slow to import

        return botocore.session.Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106  # dummy
        )

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket."""
        self.client().create_bucket(Bucket=name)

    def upload(self, directory: str | Path, bucket: str, prefix: str = "") -> tuple[str, ...]:
        """Upload every file below a directory to a bucket.

        Parameters
        ----------
        directory : str or Path
            Directory; relative paths become keys.
        bucket : str
            An existing bucket.
        prefix : str
            Prepended to every key, with a slash.

        Returns
        -------
        tuple of str
            The keys, sorted.
        """
        client = self.client()
        root = Path(directory)
        before = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        paths = {before + path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        for key, path in paths.items():
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        return tuple(sorted(paths))


@contextmanager
def loopback_s3() -> Iterator[LoopbackS3]:
    """Run an S3 server on a free port of 127.0.0.1 for the duration of a ``with`` block.

    Yields
    ------
    LoopbackS3
        Empty server. Only one at a time: servers of a process share their buckets.

    Raises
    ------
    ConfigError
        If moto is not installed.

    Examples
    --------
    >>> with loopback_s3() as s3:
    ...     s3.endpoint.startswith("http://127.0.0.1:")
    True
    """
    try:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415  # an optional dependency
    except ImportError as error:
        raise ConfigError(
            f"the loopback S3 needs moto's server, which cannot be imported ({error}): pip install hrrr-dask[test]"
        ) from error
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        _reset(port)
        yield LoopbackS3(port)
        _reset(port)
    finally:
        server.stop()


def _reset(port: int) -> None:
    """Reset the process-wide state of moto."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()
    finally:
        connection.close()
