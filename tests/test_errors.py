"""The error tree: as drawn, with stable codes, and able to travel between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from hrrr_dask import errors
from hrrr_dask.errors import ArchiveError, HrrrDaskError, StoreError, UsageError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def drawn() -> dict[str, tuple[str, str]]:
    """Name of each class in the module's drawing to its parent there and what stands behind it."""
    path: list[str] = ["HrrrDaskError"]
    found: dict[str, tuple[str, str]] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ((?:│   |    )*)[├└]── (\w+)(.*)", line)
        if match:
            depth = len(match[1]) // 4 + 1
            found[match[2]] = (path[depth - 1], match[3])
            path[depth:] = [match[2]]
    return found


def test_the_drawn_tree_is_the_class_tree():
    assert {name: parent for name, (parent, _) in drawn().items()} == {
        cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES if cls is not HrrrDaskError
    }


def test_the_drawing_says_what_may_heal_and_how_the_command_exits():
    for name, (_, text) in drawn().items():
        cls = getattr(errors, name)
        assert ("(retryable)" in text) == cls.retryable, name
        if match := re.search(r"exit (\d)", text):
            assert cls.exit_code == int(match[1])


def test_all_lists_every_error_of_the_module():
    ours = (found for found in vars(errors).values() if isinstance(found, type))
    defined = {found.__name__ for found in ours if found.__module__ == errors.__name__}
    assert set(errors.__all__) == defined
    assert errors.__all__ == sorted(errors.__all__)


def test_codes_are_unique_and_spelled_for_scripts():
    codes = [cls.code for cls in CLASSES]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert all("code" in vars(cls) for cls in CLASSES), "a code is never inherited"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_survives_the_way_to_another_process(cls):
    error = cls("wanted a, found b: do c")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == "wanted a, found b: do c"


def test_wrong_requests_exit_2_and_are_value_errors_and_everything_else_exits_1():
    for cls in CLASSES:
        assert cls.exit_code == (2 if issubclass(cls, UsageError) else 1)
        assert issubclass(cls, ValueError) == issubclass(cls, UsageError)
    assert not issubclass(ArchiveError, StoreError)
