"""A queue on the loopback interface that gets events of S3 as NOAA's topic sends them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from hrrr_dask.testing import LoopbackS3

__all__ = ["EventQueue", "make_queue", "s3_event"]

BUCKET = "noaa-hrrr-bdp-pds"


def s3_event(*keys: str, name: str = "ObjectCreated:Put") -> str:
    """An event as S3 writes it for NOAA's bucket, with percent-encoded keys."""
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}",
            "eventName": name,
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "NewHRRRObject",
                "bucket": {"name": BUCKET, "arn": f"arn:aws:s3:::{BUCKET}"},
                "object": {"key": quote(key, safe=""), "size": 147_000_000, "sequencer": "0062E99A88DC407460"},
            },
        }
        for key in keys
    ]
    return json.dumps({"Records": records})


@dataclass(frozen=True)
class EventQueue:
    """A queue, its dead-letter queue, and the topic that it is subscribed to."""

    sns: Any
    sqs: Any
    topic: str
    url: str
    dead_url: str

    def publish(self, *keys: str) -> None:
        """Publish an event for each key to the topic."""
        for start in range(0, len(keys), 10):
            entries = [
                {"Id": str(number), "Message": s3_event(key), "Subject": "Amazon S3 Notification"}
                for number, key in enumerate(keys[start : start + 10])
            ]
            self.sns.publish_batch(TopicArn=self.topic, PublishBatchRequestEntries=entries)

    def send(self, *bodies: str) -> None:
        """Send messages to the queue itself."""
        for start in range(0, len(bodies), 10):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies[start : start + 10])]
            self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)

    def counts(self, url: str = "") -> tuple[int, int]:
        """Number of messages that can be received, and of those that are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


def make_queue(server: LoopbackS3, *, raw: bool = False, receives: int = 10) -> EventQueue:
    """Make a topic and a queue of its own that is subscribed to it, with a dead-letter queue."""
    sns, sqs, name = server.client("sns"), server.client("sqs"), f"q{uuid.uuid4().hex[:8]}"
    topic = sns.create_topic(Name=f"{name}-NewHRRRObject")["TopicArn"]
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]

    def arn(url: str) -> str:
        return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])

    redrive = json.dumps({"deadLetterTargetArn": arn(dead_url), "maxReceiveCount": receives})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn(url),
        Attributes={"RawMessageDelivery": "true" if raw else "false"},
    )
    return EventQueue(sns, sqs, topic, url, dead_url)
