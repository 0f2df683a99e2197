"""Clusters with TLS: certificates from Dask's settings, and errors without them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import dask
import pytest
from distributed import LocalCluster
from distributed.security import Security
from support import needs

from hrrr_dask.clusters import open_client
from hrrr_dask.clusters.spec import AddressSpec
from hrrr_dask.errors import ConfigError, RunError

x509 = needs.extra("cryptography.x509")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402  moto brings it
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

TLS = "distributed.comm.tls."


def write_certificate(directory):
    """Write a self-signed certificate and its key to one file; return the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hrrr-dask test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    directory.mkdir()
    path = directory / "both.pem"
    path.write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    return str(path)


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """Address of a scheduler that requires TLS, and the path of its certificate."""
    path = write_certificate(tmp_path_factory.mktemp("tls") / "theirs")
    roles = {f"tls_{role}_{part}": path for role in ("scheduler", "worker", "client") for part in ("cert", "key")}
    security = Security(tls_ca_file=path, require_encryption=True, **roles)
    here = {"protocol": "tls://", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, security=security, **here) as cluster:
        yield cluster.scheduler_address, path


def test_a_client_connects_with_the_certificates_of_dasks_settings(encrypted):
    address, path = encrypted
    assert address.startswith("tls://")
    with (
        dask.config.set({TLS + "ca-file": path, TLS + "client.cert": path}),
        open_client(AddressSpec(address=address)) as client,
    ):
        assert client.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize("missing", ["ca-file", "client.cert"])
def test_the_error_names_a_missing_setting(missing, tmp_path):
    path = write_certificate(tmp_path / "ours")
    settings = {TLS + "ca-file": path, TLS + "client.cert": path, TLS + missing: None}
    variable = "DASK_DISTRIBUTED__COMM__TLS__" + missing.upper().replace(".", "__").replace("-", "_")
    with (
        dask.config.set(settings),
        pytest.raises(ConfigError, match=f"needs Dask's setting {TLS}{missing}: .*{variable}"),
        open_client(AddressSpec(address="tls://127.0.0.1:9")),
    ):
        pass


def test_the_error_names_an_unreadable_certificate(tmp_path):
    settings = {TLS + "ca-file": str(tmp_path / "none.pem"), TLS + "client.cert": None}
    with dask.config.set(settings), pytest.raises(ConfigError, match=r"names .*none\.pem, which cannot be read"):
        open_client(AddressSpec(address="tls://127.0.0.1:9")).__enter__()


def test_a_client_with_another_authority_is_refused(encrypted, tmp_path, monkeypatch):
    address, _ = encrypted
    monkeypatch.setattr("hrrr_dask.clusters.address.CONNECT_TIMEOUT_S", 2)
    path = write_certificate(tmp_path / "others")
    settings = {TLS + "ca-file": path, TLS + "client.cert": path}
    with (
        dask.config.set(settings),
        pytest.raises(RunError, match="for tls:// that both sides trust the same authority"),
    ):
        open_client(AddressSpec(address=address)).__enter__()
