"""Commands that race for one store on S3, some of them killed, leave it right; their faults are seen."""

from __future__ import annotations

import signal

import pytest
from support import needs

pytest.importorskip("benchmarks", reason=needs.CHECKOUT)

from benchmarks import race
from benchmarks.chaos_checks import WrongError
from benchmarks.race import Command, check_ends


def test_a_store_for_which_all_commands_raced_is_right(capsys):
    answer = race.collect(race.parser().parse_args(["--quick"]))
    assert answer["rounds"] == 2
    assert sum(answer["commands"].values()) == 14
    assert sum(answer["kills"].values()) > 0
    race.show(answer)
    assert "2 stores are right; seed 1" in capsys.readouterr().out
    assert race.readme_rows(answer) == []


def test_ends_of_killed_commands_and_of_those_that_are_done_are_right():
    check_ends(
        [
            Command("compact"),
            Command("update", sent=signal.SIGKILL, code=-signal.SIGKILL),
            Command("backfill", sent=signal.SIGTERM, code=1, said="interrupted"),
            Command("backfill", sent=signal.SIGTERM),
        ]
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Command("compact", code=-signal.SIGABRT), "ends by signal 6"),
        (Command("compact", sent=signal.SIGTERM, code=-signal.SIGABRT), "ends by signal 6"),
        (Command("update", code=1, said="a store error"), "ends with code 1:\na store error"),
        (Command("update", code=3), "ends with code 3"),
        (Command("backfill", sent=signal.SIGTERM, code=1, said="Traceback (most recent"), "prints a traceback"),
        (Command("backfill", said="Traceback (most recent"), "prints a traceback"),
    ],
)
def test_a_command_that_ends_otherwise_is_wrong(command, says):
    with pytest.raises(WrongError, match=says):
        check_ends([Command("compact"), command])
