"""``python -m hrrr_dask.testing``: write a synthetic archive, and serve it with faults."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from hrrr_dask.errors import ConfigError
from hrrr_dask.testing.archive import write_archive
from hrrr_dask.testing.fault_modes import describe_modes
from hrrr_dask.testing.fault_scripts import Script, keys_of, random_script
from hrrr_dask.testing.fault_server import BUCKET, FaultServer
from hrrr_dask.testing.http_servers import ThreadedServer
from hrrr_dask.testing.s3_proxy import StoreProxy, read_rules


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "write":
            _write(given)
        elif given.command == "script":
            print(_random_script(given).as_json())  # noqa: T201  the result
        elif given.command == "serve":
            _serve(given)
        else:
            _proxy(given)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hrrr_dask.testing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write an archive with known values")
    write.add_argument("directory", type=Path, metavar="DIR")
    write.add_argument("--start", type=datetime.fromisoformat, required=True, help="first init time, UTC")
    write.add_argument("--end", type=datetime.fromisoformat, required=True, help="last init time, UTC")
    write.add_argument("--lead-hours", type=int, nargs="+", default=[0, 1], metavar="H", help="default 0 1")
    write.add_argument("--product", default="sfc", help="sfc or subh (default sfc)")
    for name, text in {"serve": "serve an archive, with faults by script", "script": "print a random script"}.items():
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f"modes:\n{describe_modes()}"
        )
        command.add_argument("directory", type=Path, metavar="DIR", help="an archive, as write_archive writes it")
        command.add_argument("--faults", type=int, default=0, metavar="N", help="number of random faults")
        command.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the random faults (default 0)")
        command.add_argument(
            "--lasting", type=float, default=0.02, metavar="SHARE", help="fraction of permanent faults (default 0.02)"
        )
        if name == "serve":
            command.add_argument("--script", type=Path, metavar="FILE", help="JSON: keys, each with a list of modes")
            _add_address(command)
    proxy = commands.add_parser("proxy", help="forward requests to an S3, and fail some of them by rules")
    proxy.add_argument("endpoint", metavar="URL", help="URL of the upstream S3")
    proxy.add_argument("--rules", type=Path, metavar="FILE", help="JSON: a list of rules; reloaded on SIGHUP")
    _add_address(proxy)
    return parser


def _add_address(command: argparse.ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    command.add_argument("--port", type=int, default=0, help="default: any free port")


def _write(given: argparse.Namespace) -> None:
    archive = write_archive(
        given.directory, start=given.start, end=given.end, lead_hours=given.lead_hours, product=given.product
    )
    print(f"{len(archive.files)} files in {given.directory}")  # noqa: T201


def _random_script(given: argparse.Namespace) -> Script:
    return random_script(given.directory, given.faults, given.seed, lasting=given.lasting)


def _serve(given: argparse.Namespace) -> None:
    if given.script is not None and given.faults:
        raise ConfigError("--script and --faults both define the faults: give one of them")
    if given.script is None:
        script = _random_script(given)
    else:
        script = Script.read(given.script)
        script.check_keys(keys_of(given.directory))
    with _listening(given):
        server = FaultServer(given.directory, script, host=given.host, port=given.port)
    _log(f"{script.n_faults} faults; --source {server.url}, or --source s3://{BUCKET}")
    _log(f"--source-option endpoint={server.url} --source-option anonymous=true; stops on Ctrl-C")
    _run(server, server.served)


def _proxy(given: argparse.Namespace) -> None:
    rules = read_rules(given.rules) if given.rules else ()
    with _listening(given):
        proxy = StoreProxy(given.endpoint, *rules, host=given.host, port=given.port)

    def reload_rules(*_: object) -> None:
        try:
            proxy.follow(*(read_rules(given.rules) if given.rules else ()))
            _log("rules reloaded")
        except ConfigError as error:
            _log(f"rules not reloaded, the old ones still apply: {error}")

    signal.signal(signal.SIGHUP, reload_rules)
    _log(f"{len(rules)} rules; AWS_ENDPOINT_URL={proxy.url}; stops on Ctrl-C, reloads its rules on SIGHUP")
    _run(proxy, proxy.served)


@contextmanager
def _listening(given: argparse.Namespace) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot listen at {given.host}:{given.port}: {error.strerror}; give another port") from None


def _run(server: ThreadedServer, served: Counter[str]) -> None:
    """Serve until SIGINT or SIGTERM, then print how often each mode was served."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with server:
        print(server.url, flush=True)  # noqa: T201  the result
        stop.wait()
    for mode, count in served.most_common():
        _log(f"{count:8,}  {mode}")


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
