"""What LocalStack itself shows of an estate, by its own API and by the front's list of calls."""

from __future__ import annotations

import json
from typing import Any

from tests.estate import Estate
from tests.localstack.front import Call, Front


class Witness:
    """Subscribes to the estate's topic, and remembers the log that a destroy deletes."""

    def __init__(self, estate: Estate, front: Front) -> None:
        self._estate = estate
        self._front = front
        self._entries: dict[str, dict[str, Any]] = {}
        self._kinds: list[str] = []
        self._sqs = estate.client("sqs")
        self._queue = self._sqs.create_queue(QueueName="notices")["QueueUrl"]
        named = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        estate.client("sns").subscribe(
            TopicArn=estate.outputs["topic_arn"],
            Protocol="sqs",
            Endpoint=named["Attributes"]["QueueArn"],
        )

    def calls(self, service: str, action: str) -> list[Call]:
        """The successful calls that LocalStack says it has answered.

        `service` is its signing name; `action` may be the end of a path.
        """
        return [
            call
            for call in self._front.calls
            if call.itself
            and call.service == service
            and call.action.endswith(action)
            and call.status < 300
        ]

    def decisions(self) -> list[dict[str, Any]]:
        """What the function's log in CloudWatch Logs says of each decision, so far."""
        events = self._estate.client("logs").filter_log_events(
            logGroupName=self._estate.outputs["log_group_name"]
        )["events"]
        for event in events:
            if event["message"].startswith('{"level"'):
                self._entries[event["eventId"]] = json.loads(event["message"])
        return [entry for entry in self._entries.values() if "signal" in entry]

    def signals(self) -> list[str]:
        """What the decisions so far were caused by."""
        return [entry["signal"] for entry in self.decisions()]

    def remembered(self, signal: str) -> list[dict[str, Any]]:
        """The decisions of this cause, seen by an earlier decisions(): also after a destroy."""
        return [entry for entry in self._entries.values() if entry.get("signal") == signal]

    def notices(self) -> list[str]:
        """The kinds of the notices that the topic has sent to the queue, so far."""
        answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            attributes = json.loads(message["Body"]).get("MessageAttributes", {})
            if "kind" in attributes:  # an alarm's message has no attributes
                self._kinds.append(attributes["kind"]["Value"])
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return self._kinds

    def idle_alarm_changes(self) -> list[str]:
        """The reasons of the idle alarm's changes of state."""
        name = self._estate.outputs["idle_alarm_arn"].rpartition(":")[2]
        answer = self._estate.client("cloudwatch").describe_alarm_history(
            AlarmName=name, HistoryItemType="StateUpdate"
        )
        data = [json.loads(item["HistoryData"]) for item in answer["AlarmHistoryItems"]]
        return [each["newState"]["stateReason"] for each in data]
