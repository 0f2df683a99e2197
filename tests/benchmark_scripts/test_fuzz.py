"""A few corrupt inputs of each kind; ``python -m benchmarks.fuzz`` tries a hundred thousand."""

from __future__ import annotations

import os
import random

import pytest
from support import needs
from support.paths import SHARED_DATA

fuzz = pytest.importorskip("benchmarks.fuzz", reason=needs.CHECKOUT)
messages = pytest.importorskip("benchmarks.fuzz_messages")

CASES = {"inventory": 250, "message": 300, "points": 250, "file": 60}


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_nothing_wrong_is_accepted_and_nothing_foreign_comes_out(kind, tmp_path):
    cases = fuzz.open_cases(kind, SHARED_DATA, tmp_path)
    outcomes = [fuzz.run_case(cases, kind, 1, number) for number in range(CASES[kind])]
    assert not [what for _, what in outcomes if what]
    accepted = [outcome for outcome, _ in outcomes if "accepted" in outcome or "all values" in outcome]
    assert 5 < len(accepted) < len(outcomes) - 5, "some are spoilt, and some of these are harmless"


def test_a_wrong_value_would_be_seen(tmp_path, monkeypatch):
    cases = fuzz.open_cases("message", SHARED_DATA, tmp_path)
    good, chance = cases._small[0], random.Random(1)
    assert cases.attempt(good, good.data, chance) == "accepted"
    monkeypatch.setattr(messages, "read_values", lambda data: data and messages.np.zeros(9_999, messages.np.float32))
    with pytest.raises(messages.WrongError, match="with other values than ecCodes reads"):
        cases.attempt(good, good.data, chance)


class Deadly:
    """Cases of which one crashes its process, and one of the next process exceeds its memory."""

    limit_bytes = 1 << 26

    def __init__(self, shared, work):
        self.number, self.mark = -21, work / "died"

    def case(self, chance):
        self.number += 1
        if self.number == 2 and not self.mark.exists():
            self.mark.touch()
            os._exit(7)
        # Far more than a forked process inherits as free memory, which is not limited.
        return str(len(bytearray(1 << 31))) if self.number == 1 and self.mark.exists() else "accepted"


def test_a_case_that_ends_its_process_or_takes_too_much_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(fuzz.KINDS, "points", (__name__, "Deadly"))
    given = fuzz.parser().parse_args(["--kind", "points", "--cases", "6", "--work", str(tmp_path)])
    context = fuzz.multiprocessing.get_context("fork")  # a spawned process would not know this class
    monkeypatch.setattr(fuzz.multiprocessing, "get_context", lambda _: context)
    with pytest.raises(SystemExit, match="something wrong was accepted"):
        fuzz.show(fuzz.collect(given))
    said = capsys.readouterr().out
    assert "case 2 (--kind points --seed 1 --first 2 --cases 1):\n    exit code 7" in said
    assert "case 4 " in said
    assert "MemoryError" in said
    assert "points: 6 cases" in said
