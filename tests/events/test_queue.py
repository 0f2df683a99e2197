"""Queues are found by their URL, and what is wrong with one is said."""

from __future__ import annotations

import time

import botocore.exceptions
import pytest
from support.queues import make_queue

from hrrr_dask.errors import ConfigError, RunError
from hrrr_dask.events.queue import Message, Queue, QueueSpec, open_queue, parse_queue
from hrrr_dask.testing import loopback_s3

AWS = "https://sqs.us-east-2.amazonaws.com/123456789012/new"


@pytest.fixture(scope="module")
def server():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")  # of the user's own store: the queue is elsewhere
        yield server


def test_endpoint_and_region_are_those_of_the_url():
    assert parse_queue(AWS) == QueueSpec(AWS, "https://sqs.us-east-2.amazonaws.com", "us-east-2")
    local = "http://localhost:4566/000000000000/new"
    assert parse_queue(local) == QueueSpec(local, "http://localhost:4566", "us-east-1")
    given = parse_queue(
        AWS, {"endpoint": "https://vpce-1.sqs.example.com", "region": "eu-west-1", "visibility": "5min"}
    )
    assert given == QueueSpec(AWS, "https://vpce-1.sqs.example.com", "eu-west-1", 300.0)


@pytest.mark.parametrize("url", ["", "new", "s3://bucket/new", "https://sqs.us-east-1.amazonaws.com", "https://x/y"])
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigError, match="is not the URL of an SQS queue"):
        parse_queue(url)


def test_the_arn_of_a_queue_gets_its_url_as_a_hint():
    with pytest.raises(ConfigError, match=f"give {AWS}"):
        parse_queue("arn:aws:sqs:us-east-2:123456789012:new")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"colour": "blue"}, "'colour' is unknown"),
        ({"visibility": "soon"}, "not a duration"),
        ({"visibility": "0"}, "12h"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        parse_queue(AWS, options)


def test_a_queue_that_is_not_there_is_named(server):
    with pytest.raises(ConfigError, match=r"there is no queue .*/123456789012/nothing in us-east-1"):
        open_queue(parse_queue(f"{server.endpoint}/123456789012/nothing"))


def test_a_service_that_does_not_respond_is_named():
    with pytest.raises(RunError, match="does not respond"):
        Refusing(botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:9")).check()


class Refusing(Queue):
    """A queue whose service answers with an error."""

    def __init__(self, error):
        super().__init__(parse_queue(AWS), self)
        self._error = error

    def get_queue_attributes(self, **_):
        raise self._error


def refused(code):
    return botocore.exceptions.ClientError({"Error": {"Code": code, "Message": "no"}}, "GetQueueAttributes")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (refused("AccessDeniedException"), ConfigError, "denies sqs:GetQueueAttributes"),
        (refused("InvalidClientTokenId"), ConfigError, "denies"),
        (refused("AWS.SimpleQueueService.NonExistentQueue"), ConfigError, "there is no queue"),
        (refused("ServiceUnavailable"), RunError, "ServiceUnavailable"),
        (botocore.exceptions.NoCredentialsError(), ConfigError, "needs credentials"),
    ],
)
def test_refusals_say_what_to_do(error, kind, text):
    with pytest.raises(kind, match=text):
        Refusing(error).check()


def test_messages_are_received_held_and_deleted(server):
    made = make_queue(server)
    made.send(*(str(number) for number in range(25)))
    queue = open_queue(parse_queue(made.url, {"visibility": "1s"}))
    with queue.extending():
        found: list[Message] = []
        while some := queue.receive():
            queue.hold(some)
            found += some
        assert sorted(int(message.body) for message in found) == list(range(25))
        assert {message.receives for message in found} == {1}
        time.sleep(1.5)
        assert queue.receive() == [], "their visibility is extended while they are held"
        queue.delete(found[:20])
        assert len(queue.held) == 5
        queue.postpone(found[20:], lambda _: 0)
    again = queue.receive()
    assert {message.body for message in again} == {message.body for message in found[20:]}
    assert {message.receives for message in again} == {2}
    queue.delete(found)  # receipts that are no longer valid are no error


def test_a_queue_without_dead_letters_is_warned_of(server, caplog):
    url = server.client("sqs").create_queue(QueueName="plain")["QueueUrl"]
    open_queue(parse_queue(url))
    assert "no dead-letter queue" in caplog.text
