"""SQS: the metrics of moto's queues, in their minute and late.

Moto keeps the queues; their time is the virtual clock's (`moto_server.py`). Imitates "Available
CloudWatch metrics for Amazon SQS" and "Monitoring Amazon SQS queues using CloudWatch" (SQS
Developer Guide).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from localcloud.gateway import Call, Reply

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

NAMESPACE = "AWS/SQS"
# What GetQueueAttributes calls it, by the name of the metric.
APPROXIMATE = {
    "ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible": "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed": "ApproximateNumberOfMessagesDelayed",
}


@dataclass(eq=False)
class Queue:
    """A queue, with what CloudWatch counts of it. Moments are virtual epoch seconds."""

    name: str
    activated_at: float  # when its metrics began, after its creation or six hours without use
    used_at: float  # the last action, or the last moment at which it was seen to hold messages
    sent: int = 0  # in this minute, as the next one
    received: int = 0


class Queues:
    """Counts messages, and puts the metrics of each queue every minute."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._queues: dict[str, Queue] = {}
        gateway = cloud.gateway
        gateway.guard(self._use)
        gateway.after("sqs", "SendMessage", self._sent)
        gateway.after("sqs", "SendMessageBatch", self._sent)
        gateway.after("sqs", "ReceiveMessage", self._received)
        gateway.subscribe("sqs", self._changed)

    async def _use(self, call: Call) -> None:
        """Any action on a queue keeps its metrics coming, or brings them back."""
        if call.service == "sqs" and (queue := self._queue_of(call)) is not None:
            self._use_now(queue)

    def _use_now(self, queue: Queue) -> None:
        now = self._cloud.clock.now()
        if not self._is_active(queue, now):
            queue.activated_at = now
        queue.used_at = now

    def _is_active(self, queue: Queue, at: float) -> bool:
        return at < queue.used_at + float(self._cloud.settings["sqs"]["active_seconds"])

    async def _sent(self, call: Call, reply: Reply) -> None:
        if queue := self._queue_of(call):
            queue.sent += len(reply.get("Successful", [])) if "Entries" in call.params else 1

    async def _received(self, call: Call, reply: Reply) -> None:
        """Messages count, not calls; one that is returned again counts again."""
        if queue := self._queue_of(call):
            queue.received += len(reply.get("Messages", []))

    async def _changed(self, call: Call) -> None:
        if call.action == "CreateQueue" and call.params["QueueName"] not in self._queues:
            now = self._cloud.clock.now()
            queue = Queue(call.params["QueueName"], activated_at=now, used_at=now)
            self._queues[queue.name] = queue
            self._cloud.spawn(self._measure_for_ever(queue))
        elif call.action == "DeleteQueue" and (deleted := self._queue_of(call)):
            del self._queues[deleted.name]

    def _queue_of(self, call: Call) -> Queue | None:
        name = call.params.get("QueueName") or call.params.get("QueueUrl", "").rpartition("/")[2]
        return self._queues.get(name)

    async def _measure_for_ever(self, queue: Queue) -> None:
        """Put the metrics of each minute that is over, while the queue is there and active."""
        clock = self._cloud.clock
        minute = clock.now() // 60 * 60
        while True:
            await clock.sleep_until(minute + 60)
            if self._queues.get(queue.name) is not queue:
                return
            # on a busy machine, a clock that runs fast has passed by some minutes
            over = range(int(minute), int(clock.now() // 60 * 60), 60)
            if active := [each for each in over if self._is_active(queue, each + 60)]:
                await self._measure(queue, active)
            minute = over.stop

    async def _measure(self, queue: Queue, minutes: Sequence[int]) -> None:
        """Put the metrics of these minutes; what came in them counts in the last."""
        values = {
            "NumberOfMessagesSent": queue.sent,
            "NumberOfMessagesReceived": queue.received,
        }
        queue.sent = queue.received = 0
        held = await self._held(queue)
        if any(held.values()):
            self._use_now(queue)
        for minute in minutes:
            came = values if minute == minutes[-1] else dict.fromkeys(values, 0)
            self._put(queue, minute, {**came, **held})

    def _put(self, queue: Queue, minute: int, values: Mapping[str, int]) -> None:
        settings = self._cloud.settings
        seen = max(
            minute + 60 + float(settings["cloudwatch"]["lateness_seconds"]),
            queue.activated_at + float(settings["sqs"]["activation_seconds"]),
        )
        for name, value in values.items():
            named = {"QueueName": queue.name}
            self._cloud.metrics.put(NAMESPACE, name, named, value, "Count", minute, seen)

    async def _held(self, queue: Queue) -> dict[str, int]:
        """How many messages it holds, by the name of the metric; none if it is gone."""
        control = self._cloud.control
        try:
            url = (await control.call("sqs", "get_queue_url", QueueName=queue.name))["QueueUrl"]
            reply = await control.call(
                "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"]
            )
        except ClientError:  # deleted meanwhile
            return {}
        return {name: int(reply["Attributes"][key]) for name, key in APPROXIMATE.items()}
