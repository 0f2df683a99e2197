"""Receives, extends and deletes messages of an SQS queue through botocore."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from hrrr_dask.config.duration import parse_duration
from hrrr_dask.errors import ConfigError, RunError
from hrrr_dask.telemetry import faults
from hrrr_dask.telemetry.logs import get_log

__all__ = ["Message", "Queue", "QueueSpec", "open_queue", "parse_queue"]

_log = get_log()

AT_ONCE: Final = 10
"""Most messages that one request to SQS receives, extends or deletes."""

LONGEST_POLL_S: Final = 20
"""Longest time that SQS waits for a message [s]."""

VISIBILITY_S: Final = 120.0
"""Time after which the messages of a killed watcher are received again, unless an option says otherwise [s]."""

LONGEST_VISIBILITY_S: Final = 43_200
"""Longest time that SQS hides a message [s]."""

_OPTIONS: Final = ("endpoint", "region", "visibility")
_REGION: Final = re.compile(r"(?:^|\.)sqs\.([a-z0-9-]+)\.|^([a-z0-9-]+)\.queue\.")
_ABSENT: Final = ("NonExistentQueue", "QueueDoesNotExist")
_DENIED: Final = ("AccessDenied", "InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch", "Unrecognized")


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """Where a queue is, without secrets."""

    url: str
    """URL of the queue."""
    endpoint: str
    """URL of the service."""
    region: str
    """Region of the queue."""
    visibility_s: float = VISIBILITY_S
    """Time for which received messages are hidden, until it is extended [s]."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received message."""

    message_id: str
    """The same each time that it is received."""
    receipt: str
    """Handle to extend or delete it."""
    body: str
    """Its text."""
    receives: int
    """How often it was received, this time included."""


def parse_queue(url: str, options: Mapping[str, str] | None = None) -> QueueSpec:
    """Check the URL of a queue and its options.

    Parameters
    ----------
    url : str
        Such as ``https://sqs.us-east-1.amazonaws.com/123456789012/hrrr-new-files``.
    options : mapping of str to str, optional
        ``endpoint`` and ``region`` override those of the URL; ``visibility`` is a duration.

    Raises
    ------
    ConfigError
        If it is not the URL of a queue, or an option is unknown.

    Examples
    --------
    >>> parse_queue("https://sqs.us-east-2.amazonaws.com/123456789012/new-files").region
    'us-east-2'
    """
    options = dict(options or {})
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise ConfigError(f"queue option {unknown[0]!r} is unknown: take one of {', '.join(_OPTIONS)}")
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"/[^/]+/[^/]+/?", parts.path) or "@" in parts.netloc:
        arn = re.fullmatch(r"arn:aws[\w-]*:sqs:([^:]+):(\d+):(.+)", url.strip())
        hint = f"https://sqs.{arn[1]}.amazonaws.com/{arn[2]}/{arn[3]}" if arn else "what `aws sqs get-queue-url` prints"
        raise ConfigError(
            f"queue {url!r} is not the URL of an SQS queue, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME: give {hint}"
        )
    found = _REGION.search(parts.netloc)
    region = options.get("region") or (found[1] or found[2] if found else "us-east-1")
    visibility_s = parse_duration("queue option visibility", options.get("visibility", VISIBILITY_S))
    if not 1 <= visibility_s <= LONGEST_VISIBILITY_S:
        raise ConfigError(f"queue option visibility is between 1s and 12h, not {options['visibility']!r}")
    return QueueSpec(
        url.strip(), options.get("endpoint") or f"{parts.scheme}://{parts.netloc}", region, float(visibility_s)
    )


def open_queue(spec: QueueSpec) -> Queue:
    """Connect to a queue, and check that it is there and may be used.

    Raises
    ------
    ConfigError
        If there is no such queue, no credentials are found, or they give no permission.
    RunError
        If the service does not respond.
    """
    import botocore.config  # noqa: PLC0415  slow to import
    import botocore.exceptions  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    config = botocore.config.Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=LONGEST_POLL_S + 20,
        max_pool_connections=32,
    )
    try:
        client = botocore.session.Session().create_client(
            "sqs", region_name=spec.region, endpoint_url=spec.endpoint, config=config
        )
    except (ValueError, botocore.exceptions.BotoCoreError) as error:
        raise ConfigError(f"queue {spec.url} cannot be opened: {error}") from error
    queue = Queue(spec, client)
    queue.check()
    return queue


@dataclass(slots=True)
class Queue:
    """An SQS queue. Thread-safe."""

    spec: QueueSpec
    """Where it is."""
    client: Any
    """Client of botocore."""
    _held: dict[str, Message] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Check that the queue is there and that its attributes may be read; warn if it has no dead-letter queue."""
        found = self._call("get_queue_attributes", AttributeNames=["RedrivePolicy"])
        if "RedrivePolicy" not in found.get("Attributes", {}):
            _log.warning(
                f"queue {self.spec.url} has no dead-letter queue: a message whose file never appears comes again until "
                "it expires; give the queue a redrive policy"
            )

    def receive(self, wait_s: int = 0) -> list[Message]:
        """Receive up to ten messages, waiting for the first, and hide them from other watchers."""
        found = self._call(
            "receive_message",
            MaxNumberOfMessages=AT_ONCE,
            WaitTimeSeconds=min(wait_s, LONGEST_POLL_S),
            VisibilityTimeout=int(self.spec.visibility_s),
            AttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Message(
                one["MessageId"],
                one["ReceiptHandle"],
                one["Body"],
                int(one.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for one in found.get("Messages", [])
        ]

    def delete(self, messages: Iterable[Message]) -> None:
        """Delete messages for good."""
        self._in_tens("delete_message_batch", messages, lambda message: {"ReceiptHandle": message.receipt})

    def postpone(self, messages: Iterable[Message], delay_s: Callable[[Message], float]) -> None:
        """Let messages be received again, by any watcher, after a delay [s]."""
        self._in_tens(
            "change_message_visibility_batch",
            messages,
            lambda message: {
                "ReceiptHandle": message.receipt,
                "VisibilityTimeout": min(int(delay_s(message)), LONGEST_VISIBILITY_S),
            },
        )

    def hold(self, messages: Iterable[Message]) -> None:
        """Keep messages hidden inside :meth:`extending`, until they are deleted or postponed.

        The last receipt of a message counts, if it was received again because it was not extended in time.
        """
        with self._lock:
            self._held |= {message.message_id: message for message in messages}

    @property
    def held(self) -> list[Message]:
        """Messages that are being kept hidden."""
        with self._lock:
            return list(self._held.values())

    @contextmanager
    def extending(self) -> Iterator[None]:
        """Keep the messages of :meth:`hold` hidden while the block runs, by a thread that extends their visibility."""
        stop = threading.Event()
        thread = threading.Thread(target=self._extend, args=(stop,), name="hrrr-visibility", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @faults.reported("watch")
    def _extend(self, stop: threading.Event) -> None:
        while not stop.wait(self.spec.visibility_s / 3):
            try:
                self._send(
                    "change_message_visibility_batch",
                    self.held,
                    lambda message: {
                        "ReceiptHandle": message.receipt,
                        "VisibilityTimeout": int(self.spec.visibility_s),
                    },
                )
            except (ConfigError, RunError) as error:  # they come again, and their files are then found done
                _log.warning(f"the visibility of messages was not extended: {error}")

    def _in_tens(self, call: str, messages: Iterable[Message], entry: Callable[[Message], dict[str, Any]]) -> None:
        """Change messages, and no longer keep them hidden."""
        messages = list(messages)
        with self._lock:
            for message in messages:
                self._held.pop(message.message_id, None)
        self._send(call, messages, entry)

    def _send(self, call: str, messages: Sequence[Message], entry: Callable[[Message], dict[str, Any]]) -> None:
        for start in range(0, len(messages), AT_ONCE):
            some = messages[start : start + AT_ONCE]
            entries = [{"Id": str(number), **entry(message)} for number, message in enumerate(some)]
            for failed in self._call(call, Entries=entries).get("Failed", []):
                # Such as a receipt that has expired: the message comes again, and its file is then found done.
                _log.info(f"{call} of a message failed: {failed.get('Message') or failed.get('Code')}")

    def _call(self, name: str, **arguments: Any) -> dict[str, Any]:
        import botocore.exceptions  # noqa: PLC0415  slow to import

        try:
            answer: dict[str, Any] = getattr(self.client, name)(QueueUrl=self.spec.url, **arguments)
        except botocore.exceptions.ClientError as error:
            raise self._refused(name, error.response.get("Error", {})) from error
        except botocore.exceptions.NoCredentialsError as error:
            raise ConfigError(
                f"queue {self.spec.url} needs credentials and none were found: set AWS_PROFILE, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            ) from error
        except botocore.exceptions.BotoCoreError as error:
            raise RunError(f"queue {self.spec.url} does not respond: {error}") from error
        return answer

    def _refused(self, name: str, found: Mapping[str, str]) -> ConfigError | RunError:
        code, text = found.get("Code", ""), found.get("Message", "")
        if any(word in code for word in _ABSENT):
            return ConfigError(
                f"there is no queue {self.spec.url} in {self.spec.region}: check the URL, or make the queue "
                "(`aws sqs create-queue`)"
            )
        if any(word in code for word in _DENIED):
            action = "".join(word.capitalize() for word in name.removesuffix("_batch").split("_"))
            return ConfigError(
                f"queue {self.spec.url} denies sqs:{action}: {text or code}; the role needs sqs:GetQueueAttributes, "
                "ReceiveMessage, ChangeMessageVisibility and DeleteMessage on it"
            )
        return RunError(f"queue {self.spec.url} answered {name} with {code}: {text}")
