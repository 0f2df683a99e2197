"""The table of outcomes: what the ledger, the status array and the error tree agree on."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hrrr_dask import errors
from hrrr_dask.errors import ArchiveError
from hrrr_dask.outcomes import COMPLETE, NEVER, NOT_INGESTED, NOT_OFFERED, OUTCOMES, PARTIAL, outcome_numbered


def test_numbers_count_from_zero_in_the_order_of_the_table():
    assert [outcome.number for outcome in OUTCOMES.values()] == list(range(len(OUTCOMES)))
    assert [outcome_numbered(number) for number in range(len(OUTCOMES))] == list(OUTCOMES.values())


def test_numbers_are_those_that_stores_out_there_hold():
    assert (NOT_INGESTED, COMPLETE, NOT_OFFERED, PARTIAL) == (0, 1, 2, 12)
    assert np.iinfo(np.int64).min == NEVER
    assert {name: outcome.number for name, outcome in OUTCOMES.items()} == {
        "not-ingested": 0,
        "complete": 1,
        "not-in-this-era": 2,
        "message-not-found": 3,
        "ambiguous-message": 4,
        "decode-failed": 5,
        "wrong-identity": 6,
        "truncated": 7,
        "not-published": 8,
        "access-denied": 9,
        "unreachable": 10,
        "internal-error": 11,
        "partial": 12,
        "poisoned": 13,
    }


def test_names_can_stand_in_cf_flag_meanings():
    assert all(re.fullmatch(r"[A-Za-z0-9_.@+-]+", name) for name in OUTCOMES)


def test_every_way_in_which_a_file_can_fail_is_an_outcome():
    leaves = {
        cls.code
        for cls in map(errors.__dict__.get, errors.__all__)
        if cls is not None and issubclass(cls, ArchiveError)
    }
    # A bad inventory is never the end of it: the file itself is asked. A packing that one engine does not know is one
    # that could not be decoded.
    assert leaves - {ArchiveError.code, "bad-inventory", "unsupported-packing"} <= set(OUTCOMES)


@pytest.mark.parametrize("name", ["unreachable", "access-denied", "internal-error", "not-ingested", "partial"])
def test_what_is_not_the_archives_fault_is_always_tried_again(name):
    assert OUTCOMES[name].heals == "always"


def test_an_unknown_number_is_refused():
    with pytest.raises(KeyError):
        outcome_numbered(len(OUTCOMES))
