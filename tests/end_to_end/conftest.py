"""An environment full of secrets, for tests that look for them in all output."""

from __future__ import annotations

import json
import os

import pytest
from support.secrets import MARK

from hrrr_dask.testing import loopback_s3


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Every credential that a command may find in its environment."""
    google = tmp_path_factory.mktemp("google") / "key.json"
    key = {"type": "service_account", "client_email": "me", "private_key_id": MARK, "private_key": f"{MARK} no PEM"}
    google.write_text(json.dumps(key))
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        secrets = {
            "AWS_SECRET_ACCESS_KEY": MARK,
            "AWS_SESSION_TOKEN": f"token-{MARK}",
            "HTTPS_PROXY": f"http://me:{MARK}@127.0.0.1:9",
            "GOOGLE_APPLICATION_CREDENTIALS": str(google),
        }
        for name, value in (server.environment() | secrets).items():
            patch.setenv(name, value)
        server.create_bucket("out")
        yield server
