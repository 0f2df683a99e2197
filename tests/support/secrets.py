"""The mark that every secret of the tests contains."""

from __future__ import annotations

MARK = "hunter2"
