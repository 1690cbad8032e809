"""SQS: moto's queues in virtual time, and their metrics, against AWS's documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from localcloud.tests.live.estate import Estate

pytestmark = pytest.mark.cloud

LATENESS_SECONDS = 70
ACTIVE_SECONDS = 600  # instead of six hours
FAST = 240  # where nothing happens but minutes
VISIBLE = "ApproximateNumberOfMessagesVisible"
NOT_VISIBLE = "ApproximateNumberOfMessagesNotVisible"
DELAYED = "ApproximateNumberOfMessagesDelayed"
SENT = "NumberOfMessagesSent"
RECEIVED = "NumberOfMessagesReceived"


@pytest.fixture(autouse=True)
def usual(estate: Estate) -> Iterator[dict[str, float]]:
    """Metrics of a new queue come as those of any other; six hours are shorter.

    Gives the settings as they are otherwise.
    """
    settings = estate.cloud.settings()["sqs"]
    quick = {"activation_seconds": 0, "active_seconds": ACTIVE_SECONDS}
    estate.cloud.settings(sqs=quick)
    yield settings
    estate.cloud.settings(sqs=settings)


@dataclass
class Queue:
    """A queue, and what CloudWatch knows of it."""

    estate: Estate
    name: str
    url: str

    @property
    def sqs(self) -> Any:
        """A client."""
        return self.estate.client("sqs")

    def attributes(self) -> list[int]:
        """How many messages are visible, in flight and delayed, by GetQueueAttributes."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        reply = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return [int(reply["Attributes"][name]) for name in names]

    def arn(self) -> str:
        """The queue's ARN."""
        reply = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        return str(reply["Attributes"]["QueueArn"])

    def send(self, count: int = 1, **more: Any) -> None:
        """Send messages, one by one."""
        for _ in range(count):
            self.sqs.send_message(QueueUrl=self.url, MessageBody="a job", **more)

    def receive(self, **more: Any) -> list[dict[str, Any]]:
        """The messages that one ReceiveMessage returns, ten at most."""
        reply = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, **more)
        return list(reply.get("Messages", []))

    def delete(self, *messages: dict[str, Any]) -> None:
        """Delete messages that were received."""
        for message in messages:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def points(self, metric: str, since: float) -> dict[float, float]:
        """Sums by minute of the metric that can be seen by now, from that minute on."""
        reply = self.estate.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName=metric,
            Dimensions=[{"Name": "QueueName", "Value": self.name}],
            StartTime=datetime.fromtimestamp(since, UTC),
            EndTime=datetime.fromtimestamp(self.estate.cloud.now() + 60, UTC),
            Period=60,
            Statistics=["Sum"],
        )
        return {point["Timestamp"].timestamp(): point["Sum"] for point in reply["Datapoints"]}

    def minutes(self, since: float, count: int, *metrics: str) -> list[list[float]]:
        """The first points of each metric from that minute on, once there are so many."""

        def found(metric: str) -> list[float]:
            return [value for _, value in sorted(self.points(metric, since).items())][:count]

        self.estate.wait(lambda: all(len(found(metric)) == count for metric in metrics), speed=60)
        return [found(metric) for metric in metrics]


def a_queue(estate: Estate, **attributes: str) -> Queue:
    """A new queue."""
    name = estate.name()
    url = estate.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return Queue(estate, name, url)


def last_point(estate: Estate, queue: Queue, used: float, active: float = ACTIVE_SECONDS) -> float:
    """The last minute of a queue that was used then, once the minutes before its end are there.

    On a busy machine they come late.
    """

    def found() -> float:
        return max(queue.points(VISIBLE, used + active - 3600), default=0.0)

    estate.cloud.advance_until(lambda: found() >= used + active - 120, minutes=30)
    return found()


def a_new_minute(estate: Estate) -> float:
    """Let time run into the first seconds of a minute; when that minute began."""
    estate.cloud.advance(61 - estate.cloud.now() % 60, speed=30)
    return estate.cloud.now() // 60 * 60


def test_attributes_are_right_at_once(estate: Estate) -> None:
    """SQS API Reference, GetQueueAttributes."""
    queue = a_queue(estate)
    assert queue.attributes() == [0, 0, 0]
    queue.send(2)
    queue.send(DelaySeconds=300)
    assert queue.attributes() == [2, 0, 1]
    messages = queue.receive(VisibilityTimeout=300)
    assert queue.attributes() == [0, 2, 1]
    queue.delete(messages[0])
    assert queue.attributes() == [0, 1, 1]


def test_a_received_message_comes_back_after_its_visibility_timeout(estate: Estate) -> None:
    """Amazon SQS visibility timeout."""
    queue = a_queue(estate, VisibilityTimeout="600")
    queue.send()
    assert len(queue.receive()) == 1
    assert queue.receive() == []
    estate.cloud.advance(580)
    assert queue.attributes() == [0, 1, 0]
    estate.cloud.advance(25)
    assert queue.attributes() == [1, 0, 0]
    assert len(queue.receive()) == 1


def test_a_delayed_message_comes_after_its_delay(estate: Estate) -> None:
    """Amazon SQS message timers."""
    queue = a_queue(estate)
    queue.send(DelaySeconds=600)
    assert (queue.receive(), queue.attributes()) == ([], [0, 0, 1])
    estate.cloud.advance(605)
    assert queue.attributes() == [1, 0, 0]


def test_a_long_poll_returns_a_message_that_comes_meanwhile(estate: Estate) -> None:
    """Amazon SQS short and long polling."""
    queue = a_queue(estate)
    queue.send(DelaySeconds=60)
    with estate.cloud.at_speed(30):
        messages = queue.receive(WaitTimeSeconds=20)
    assert len(messages) == 1


def test_messages_are_counted_and_not_calls(estate: Estate) -> None:
    """NumberOfMessagesSent and NumberOfMessagesReceived."""
    queue = a_queue(estate)
    minute = a_new_minute(estate)
    entries: list[dict[str, Any]] = [
        {"Id": str(number), "MessageBody": "a job"} for number in range(3)
    ]
    entries.append({"Id": "late", "MessageBody": "a job", "DelaySeconds": 901})
    reply = queue.sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)
    assert [each["Id"] for each in reply["Failed"]] == ["late"]
    queue.send(2)
    assert len(queue.receive(VisibilityTimeout=300)) == 5
    assert queue.receive() == []
    assert queue.minutes(minute, 2, SENT, RECEIVED) == [[5, 0], [5, 0]]


def test_a_message_that_is_received_twice_counts_twice(estate: Estate) -> None:
    """NumberOfMessagesReceived: "may include retries"."""
    queue = a_queue(estate)
    queue.send()
    minute = a_new_minute(estate)
    for _ in range(2):
        assert len(queue.receive(VisibilityTimeout=1)) == 1
        estate.cloud.advance(2, speed=1)
    assert queue.minutes(minute, 1, RECEIVED) == [[2]]


def test_what_a_queue_holds_is_told_every_minute(estate: Estate) -> None:
    """ApproximateNumberOfMessagesVisible, NotVisible and Delayed; zeros, too."""
    queue = a_queue(estate)
    minute = a_new_minute(estate)
    queue.send(3)
    queue.send(DelaySeconds=900)
    messages = queue.receive(VisibilityTimeout=900)
    queue.send(2)
    held = queue.minutes(minute, 2, VISIBLE, NOT_VISIBLE, DELAYED)
    assert held == [[2, 2], [3, 3], [1, 1]]
    queue.delete(*messages)
    later = a_new_minute(estate)
    assert queue.minutes(later, 1, VISIBLE, NOT_VISIBLE, DELAYED) == [[2], [0], [1]]


def test_metrics_are_seen_late(estate: Estate) -> None:
    """Each minute is seen a while after its end."""
    queue = a_queue(estate)
    minute = a_new_minute(estate)
    queue.send()
    estate.wait(lambda: queue.points(SENT, minute), speed=20)
    assert estate.cloud.now() >= minute + 60 + LATENESS_SECONDS


def test_a_queue_that_nobody_uses_has_no_metrics_after_six_hours(estate: Estate) -> None:
    """Monitoring Amazon SQS queues using CloudWatch; here the hours are minutes."""
    queue = a_queue(estate)
    used = estate.cloud.now()
    estate.cloud.advance(ACTIVE_SECONDS + 900, FAST)
    assert last_point(estate, queue, used) <= used + ACTIVE_SECONDS


def test_six_hours_are_the_time_after_which_a_queue_is_inactive(
    estate: Estate, usual: dict[str, float]
) -> None:
    """The same page: "active for up to six hours"."""
    estate.cloud.settings(sqs={"active_seconds": usual["active_seconds"]})
    queue = a_queue(estate)
    used = estate.cloud.now()
    estate.cloud.advance(6 * 3600 + 600, speed=1200)
    assert last_point(estate, queue, used, 6 * 3600) <= used + 6 * 3600


def test_a_queue_with_messages_stays_active(estate: Estate) -> None:
    """The same page: "if it contains any messages"."""
    queue = a_queue(estate)
    queue.send()
    sent = estate.cloud.now()
    estate.cloud.advance(2 * ACTIVE_SECONDS, FAST)
    assert max(queue.points(VISIBLE, sent)) > sent + 1.5 * ACTIVE_SECONDS


def test_any_action_keeps_a_queue_active(estate: Estate) -> None:
    """The same page: "if any action accesses it", one that reads its attributes, too."""
    queue = a_queue(estate)
    began = estate.cloud.now()
    for _ in range(4):
        estate.cloud.advance(ACTIVE_SECONDS / 2, FAST)
        queue.attributes()
    assert max(queue.points(VISIBLE, began)) > began + 1.5 * ACTIVE_SECONDS


def test_metrics_of_a_queue_that_becomes_active_come_a_quarter_of_an_hour_late(
    estate: Estate, usual: dict[str, float]
) -> None:
    """The same page: "a delay of up to 15 minutes occurs"."""
    queue = a_queue(estate)
    estate.cloud.advance(ACTIVE_SECONDS + 300, FAST)
    estate.cloud.settings(sqs={"activation_seconds": usual["activation_seconds"]})
    minute = a_new_minute(estate)
    queue.send()
    sent = estate.cloud.now()
    estate.wait(lambda: queue.points(SENT, minute), speed=120)
    assert 900 <= estate.cloud.now() - sent < 960
    assert queue.points(SENT, minute)[minute] == 1  # late, and not lost


def test_messages_of_topics_and_rules_count(estate: Estate) -> None:
    """Messages that SNS and EventBridge send are sent as any other."""
    queue = a_queue(estate)
    sns, events, name = estate.client("sns"), estate.client("events"), estate.name()
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn())
    pattern = {"source": ["test"], "detail": {"queue": [name]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue.arn()}])
    minute = a_new_minute(estate)
    sns.publish(TopicArn=topic, Message="a job")
    detail = json.dumps({"queue": name})
    events.put_events(Entries=[{"Source": "test", "DetailType": "job", "Detail": detail}])
    estate.wait(lambda: queue.attributes()[0] == 2, speed=1)
    estate.wait(lambda: sum(queue.points(SENT, minute).values()) == 2, speed=60)


def test_a_deleted_queue_has_no_metrics(estate: Estate) -> None:
    """Of one that is made anew there are those since then alone."""
    queue = a_queue(estate)
    queue.send()
    queue.sqs.delete_queue(QueueUrl=queue.url)
    gone = a_new_minute(estate)
    estate.cloud.advance(300)
    assert queue.points(RECEIVED, gone) == {}
    queue.sqs.create_queue(QueueName=queue.name)
    minute = a_new_minute(estate)
    assert queue.minutes(minute, 1, RECEIVED, VISIBLE) == [[0], [0]]


def test_an_alarm_on_received_messages_sees_a_job_and_silence(estate: Estate) -> None:
    """What an idle alarm of a queue looks at: received messages, missing ones breach."""
    queue, name = a_queue(estate), estate.name()
    cloudwatch = estate.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/SQS",
        MetricName=RECEIVED,
        Dimensions=[{"Name": "QueueName", "Value": queue.name}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=3,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
        TreatMissingData="breaching",
    )

    def state() -> str:
        [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(alarm["StateValue"])

    estate.wait(lambda: state() == "ALARM", speed=60)
    queue.send()
    queue.delete(*queue.receive())
    estate.wait(lambda: state() == "OK", minutes=5, speed=60)
    estate.wait(lambda: state() == "ALARM", minutes=10, speed=60)


def test_calls_of_a_queue_are_recorded(estate: Estate) -> None:
    """With their caller and the queue's URL."""
    since = max(call["n"] for call in estate.cloud.calls())
    queue = a_queue(estate)
    queue.attributes()
    [call] = estate.cloud.calls(since, "sqs", "GetQueueAttributes", "tester")
    assert (call["resource"], call["status"]) == (queue.url, 200)
