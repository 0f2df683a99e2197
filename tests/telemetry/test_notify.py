"""Who is told what: failures once, nothing on success, no secret anywhere, and a lost message is only a warning."""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
from email.header import decode_header, make_header

import pytest
from click.testing import CliRunner
from support import needs
from support.secrets import MARK
from support.sinks import HttpSink, MailSink
from support.specs import all_pieces, commit, make_spec, partition_outcomes

from hrrr_dask import api
from hrrr_dask.audit import verify as verifying
from hrrr_dask.cli import cli
from hrrr_dask.errors import ConfigError, StoreAccessError
from hrrr_dask.events import watch as watching
from hrrr_dask.events.trouble import Troubles
from hrrr_dask.report.differences import VerifyReport
from hrrr_dask.report.results import Report
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.tables import export as exporting
from hrrr_dask.telemetry.notify import NOTIFY_VARIABLE, Notifier, remove_secrets

apprise = needs.extra("apprise")

PASSWORD = f"{MARK}InAUrl"
IN_ENVIRONMENT = f"{MARK}-in-the-environment"
PERIOD = ("--points", "p.csv", "--start", "2024-01-01", "--end", "2024-01-01")
REPORT = Report("x.zarr", 6, 2, 4, {}, {}, 1, 100, 8, 50, 1.5, False)


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv(NOTIFY_VARIABLE, raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", IN_ENVIRONMENT)


@pytest.fixture
def sink():
    with HttpSink() as server:
        yield server


def url_of(sink):
    """The URL of a service, with a password."""
    return f"json://me:{PASSWORD}@{sink.address}/{PASSWORD}/"


def run(*arguments):
    done = CliRunner().invoke(cli, arguments)
    assert MARK not in done.output
    return done


def told(sink):
    """Messages that arrived, without a secret in them: those in the address of the service are its own."""
    assert not [each for each in sink.received if MARK in each.body.decode()]
    return [json.loads(each.body) for each in sink.received]


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("command", ["backfill", "update", "watch", "export", "verify", "check"])
def test_a_failure_is_told_with_its_sentence_and_changes_nothing_else(sink, tmp_path, command):
    store = str(tmp_path / "nowhere")
    arguments = {
        "backfill": ("--points", str(tmp_path / "p.csv"), *PERIOD[2:]),
        "watch": ("--queue", "https://sqs.us-east-1.amazonaws.com/123456789012/new"),
        "export": ("--to", str(tmp_path / "tables")),
    }.get(command, ())
    alone = run(command, "--store", store, *arguments)
    done = run(command, "--store", store, *arguments, "--notify", url_of(sink))
    assert (done.exit_code, done.stdout, done.stderr) == (alone.exit_code, alone.stdout, alone.stderr)
    assert done.exit_code == 2
    (message,) = told(sink)
    assert message["title"] == f"hrrr-dask {command}: {store}"
    assert message["type"] == "failure"
    sentence = done.stderr.removeprefix("error: ").strip()
    assert message["message"].startswith(f"failed: {sentence}")
    assert "Traceback" not in message["message"]


@pytest.mark.parametrize("gaps", [{}, {"truncated": 3}])
def test_nothing_is_told_of_success_and_of_gaps(sink, monkeypatch, gaps):
    report = Report("x.zarr", 6, 2, 4, gaps, gaps, 1, 100, 8, 50, 1.5, False)
    monkeypatch.setattr(api, "backfill", lambda *_, **__: report)
    assert run("backfill", "--store", "x.zarr", *PERIOD, "--notify", url_of(sink)).exit_code == (3 if gaps else 0)
    assert told(sink) == []


@pytest.mark.parametrize("how", ["report", "exception"])
def test_an_interrupt_by_the_user_is_no_failure(sink, monkeypatch, how):
    report = Report("x.zarr", 6, 2, 4, {}, {}, 1, 100, 8, 50, 1.5, True)
    action = raising(KeyboardInterrupt()) if how == "exception" else lambda *_, **__: report
    monkeypatch.setattr(api, "backfill", action)
    assert run("backfill", "--store", "x.zarr", *PERIOD, "--notify", url_of(sink)).exit_code == 1
    assert told(sink) == []


def test_an_error_of_our_own_is_told_without_its_text(sink, monkeypatch):
    monkeypatch.setattr(api, "update", raising(RuntimeError(f"the token {PASSWORD}")))
    done = CliRunner().invoke(cli, ["update", "--store", "x.zarr", "--notify", url_of(sink)])
    assert isinstance(done.exception, RuntimeError)
    assert "failed with an internal error (RuntimeError): see its log" in told(sink)[0]["message"]


def test_a_wrong_use_of_options_is_told_of(sink):
    assert run("update", "--store", "x.zarr", "--deadline", "1h", "--notify", url_of(sink)).exit_code == 2
    assert "failed: --deadline limits the wait" in told(sink)[0]["message"]


def test_each_of_several_services_is_told(sink):
    with HttpSink() as other:
        arguments = ("--notify", url_of(sink), "--notify", url_of(other))
        assert run("check", "--store", "nowhere.zarr", *arguments).exit_code == 2
        assert len(told(sink)) == len(told(other)) == 1


def test_the_environment_names_services_and_an_option_overrides_it(sink, monkeypatch):
    with HttpSink() as other, HttpSink() as third:
        monkeypatch.setenv(NOTIFY_VARIABLE, f"{url_of(other)}\n{url_of(third)} ")
        run("check", "--store", "nowhere.zarr")
        assert (len(told(other)), len(told(third))) == (1, 1)
        run("check", "--store", "nowhere.zarr", "--notify", url_of(sink))
        assert (len(told(other)), len(told(sink))) == (1, 1)


@pytest.mark.parametrize("status", [403, 500])
def test_a_service_that_refuses_is_a_warning_and_the_next_one_is_told(sink, status, caplog):
    with HttpSink(status, f"bad token {PASSWORD}".encode()) as bad:
        done = run("check", "--store", "nowhere.zarr", "--notify", url_of(bad), "--notify", url_of(sink))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0].startswith("warning: the notification to json://… was not accepted")
    assert not [record for record in caplog.records if record.name.startswith("apprise")], "it can quote URLs"
    assert len(told(sink)) == 1


def test_a_service_that_is_not_there_or_breaks_is_a_warning(sink, monkeypatch):
    gone = url_of(sink).replace(sink.address, "127.0.0.1:9")
    done = run("check", "--store", "nowhere.zarr", "--notify", gone)
    assert (done.exit_code, done.stderr.count("warning: ")) == (2, 1)
    monkeypatch.setattr(apprise.Apprise, "notify", raising(TypeError(PASSWORD)))
    done = run("check", "--store", "nowhere.zarr", "--notify", url_of(sink))
    assert (done.exit_code, done.stderr.count("warning: ")) == (2, 1)


@pytest.mark.parametrize("url", [f"nosuch://{PASSWORD}", PASSWORD, f"slack://{PASSWORD}", "json://"])
def test_a_url_that_apprise_does_not_know_is_refused_before_anything_is_done(monkeypatch, url):
    monkeypatch.setattr(api, "update", raising(AssertionError("it began")))
    done = run("update", "--store", "x.zarr", "--notify", url)
    assert done.exit_code == 2
    assert "URL 1 of --notify" in done.stderr


def test_without_apprise_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *given, **more):
        if name == "apprise":
            raise ImportError(name)
        return real(name, *given, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install \"hrrr-dask\[notify\]\""):
        Notifier(["json://127.0.0.1"], "check", "x.zarr")


def test_a_command_without_notifications_does_not_load_apprise():
    code = "import sys; from hrrr_dask.cli import cli; cli(['check', '--store', 'nowhere'], standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('apprise' in sys.modules)"],
        capture_output=True,
        check=False,
        text=True,
        env={name: value for name, value in os.environ.items() if name != NOTIFY_VARIABLE},
        timeout=60,
    )
    assert "no store" in done.stderr
    assert "True" not in done.stdout


def test_what_a_check_finds_is_told(sink, tmp_path):
    store = Store(str(tmp_path / "x.zarr"), {}, make_spec()).make_or_grow(Growth())
    for partition in (0, 1):
        store.merge(partition, all_pieces(partition))
        commit(store, *partition_outcomes(partition), partition=partition)
    arguments = ("check", "--store", store.url, "--checksums", "0", "--notify", url_of(sink))
    assert run(*arguments, "--max-age", "none").exit_code == 0
    assert told(sink) == []
    assert run(*arguments, "--max-age", "1d").exit_code == 3
    (message,) = told(sink)
    assert message["message"].startswith("age failed: the newest run, 2024-01-04T12, is ")
    assert "see why hrrr-dask update or watch" in message["message"]


@pytest.mark.parametrize(("counts", "unchecked", "messages"), [({"other-value": 3}, 0, 1), ({}, 4, 0), ({}, 0, 0)])
def test_what_verify_finds_is_told_if_something_differs(sink, monkeypatch, counts, unchecked, messages):
    report = VerifyReport("x.zarr", 1, 1, 1, 9, 6, 0, counts, (), unchecked, (), 0, (), 1, 1.0)
    monkeypatch.setattr(verifying, "verify", lambda *_, **__: report)
    run("verify", "--store", "x.zarr", "--notify", url_of(sink))
    found = told(sink)
    assert len(found) == messages
    assert all("3 values: the archive has another value" in each["message"] for each in found)


def test_a_watcher_tells_of_a_change_of_state(sink, monkeypatch):
    def watch(*_, on_change, **__):
        on_change(f"the queue https://me:{PASSWORD}@example.org/q does not respond", False)
        on_change("the queue responds again", True)
        return REPORT

    monkeypatch.setattr(watching, "watch", watch)
    run("watch", "--store", "x.zarr", "--queue", "q", "--notify", url_of(sink))
    assert [each["type"] for each in told(sink)] == ["failure", "success"]
    assert len({each["title"] for each in told(sink)}) == 1, "PagerDuty resolves by the title"
    assert run("watch", "--store", "x.zarr", "--queue", "q").exit_code == 0, "without anyone to tell"


def test_a_short_failure_is_not_told_and_a_long_one_once():
    now, changes = [0.0], []
    troubles = Troubles(lambda *change: changes.append(change), lambda: now[0])
    for seconds in (0, 30, 59):
        now[0] = seconds
        troubles.fails("queue", "away", lasting_s=60)
    troubles.works("queue")
    for seconds in (100, 159):
        now[0] = seconds
        troubles.fails("queue", "away", lasting_s=60)
    assert changes == [], "the time counts from the latest failure after a success"
    for seconds in (160, 170, 500):
        now[0] = seconds
        troubles.fails("queue", "away", lasting_s=60)
    assert changes == [("away", False)]
    troubles.works("queue")
    troubles.works("queue")
    assert changes[1:] == [("the queue responds again", True)]


def test_an_export_that_fails_is_told_and_a_dry_run_tells_nothing(sink, monkeypatch):
    monkeypatch.setattr(exporting, "export", raising(StoreAccessError("the disk is full")))
    run("export", "--store", "x.zarr", "--to", "t", "--notify", url_of(sink))
    assert "failed: the disk is full" in told(sink)[0]["message"]
    assert run("update", "--store", "x.zarr", "--cluster", "kubernetes", "--dry-run", "--notify", url_of(sink))
    assert len(told(sink)) == 1


# Services


def fail(url, text=f"cannot read s3://b/x.zarr: the key {IN_ENVIRONMENT} is denied"):
    return Notifier([url], "update", f"s3://me:{PASSWORD}@bucket/x.zarr").send(text)


def test_slack_gets_a_message(sink, monkeypatch):
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"{sink.url}/services")
    assert fail("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts") == []
    (request,) = sink.received
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    payload = json.loads(request.body)
    assert payload["channel"] == "#alerts"
    text = json.dumps(payload, ensure_ascii=False)
    assert "hrrr-dask update: s3://…@bucket/x.zarr" in text
    assert "cannot read s3://b/x.zarr: the key … is denied" in text
    assert MARK not in text
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in text


def test_pagerduty_gets_an_event(sink, monkeypatch):
    from apprise.plugins import pagerduty

    monkeypatch.setattr(pagerduty, "PAGERDUTY_API_LOOKUP", dict.fromkeys(pagerduty.PAGERDUTY_REGIONS, sink.url))
    assert fail(f"pagerduty://integrationkey0@{PASSWORD}/cronhost/hrrr") == []
    (request,) = sink.received
    event = json.loads(request.body)
    assert (event["routing_key"], event["event_action"]) == ("integrationkey0", "trigger")
    assert event["payload"]["severity"] == "critical"
    assert "hrrr-dask update: s3://…@bucket/x.zarr" in event["payload"]["summary"]
    assert MARK not in request.body.decode()


def test_a_mail_is_sent():
    with MailSink() as mail:
        url = f"mailto://me:{PASSWORD}@{mail.address}?smtp=127.0.0.1&from=hrrr@example.org&to=you@example.org&mode=insecure"
        assert fail(url) == []
    assert "rcpt to:<you@example.org>" in [command.lower() for command in mail.commands]  # smtplib's case has changed
    (message,) = mail.mails
    assert str(make_header(decode_header(message["Subject"]))) == "hrrr-dask update: s3://…@bucket/x.zarr"
    parts = [part.get_payload(decode=True).decode() for part in message.walk() if not part.is_multipart()]
    assert any("the key … is denied" in part for part in parts)
    assert MARK not in mail.raw[0].decode() + "".join(parts)


def test_secrets_are_removed_and_places_are_kept(monkeypatch):
    monkeypatch.setenv(NOTIFY_VARIABLE, f"slack://{PASSWORD}/b")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    monkeypatch.setenv("USE_TOKEN", "true")
    text = f"{IN_ENVIRONMENT} {PASSWORD} slack://{PASSWORD}/b https://u:secret@h/p?sig=secret: /var/run/token true"
    assert remove_secrets(text) == "… … … https://…@h/p?… /var/run/token true"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("the key AKIAABCDEFGHIJKLMNOP is unknown", "the key … is unknown"),
        ("with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "with …"),
        ("header Authorization: Bearer abc.def-1, 401", "header Authorization: Bearer …, 401"),
        ("{'aws_secret_access_key': 'abcdef', 'region': 'x'}", "{'aws_secret_access_key': …', 'region': 'x'}"),
        ("password=abc&token=abc; access_key: abc", "password=…&token=…; access_key: …"),
        ("xoxb-123-abc ghp_0123456789abcdefghijABCD", "… …"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl of it", "… of it"),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n", "a\n…"),
        ("commit 9d8b9a1f3c5e7a9b1d3f5a7c9e1b3d5f7a9c1e3b", "commit 9d8b9a1f3c5e7a9b1d3f5a7c9e1b3d5f7a9c1e3b"),
        ("/work-directory/x.zarr is full", "/work-directory/x.zarr is full"),
    ],
)
def test_keys_and_tokens_are_removed_wherever_they_come_from(monkeypatch, text, safe):
    monkeypatch.setenv("PWD", "/work-directory")
    assert remove_secrets(text) == safe


def test_a_long_text_is_cut(sink):
    assert fail(url_of(sink), "word " * 5000) == []
    assert len(told(sink)[0]["message"]) < 2200
