"""The matrix of dead sources runs, in its smallest form."""

from __future__ import annotations

import pytest
from support import needs

dead_sources = pytest.importorskip("benchmarks.dead_sources", reason=needs.CHECKOUT)


def test_a_source_that_refuses_is_skipped_or_ends_the_run(capsys):
    dead_sources.main(["--fault", "refused", "--cycles", "2"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("undisturbed")
    assert "done, 10 files" in second
    assert "UnreachableError" in second
