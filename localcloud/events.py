"""EventBridge's default bus and SNS: schedules fire, patterns match, messages arrive.

Imitates "Event patterns" and "Creating a rule that runs on a schedule" (EventBridge User Guide),
"Fanout to Lambda functions" and "Message delivery" (SNS Developer Guide).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud import patterns
from localcloud.control import ACCOUNT, REGION
from localcloud.gateway import ApiError, Call, Reply
from localcloud.logs import iso

if TYPE_CHECKING:
    from localcloud.cloud import Cloud

RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
UNKNOWN_TARGET_KEYS = ("InputTransformer", "EcsParameters", "KinesisParameters", "HttpParameters")
PENDING_PROTOCOLS = ("email", "email-json")


@dataclass
class Rule:
    """An enabled rule of the default bus with its targets."""

    arn: str
    schedule: str
    pattern: dict[str, Any] | None
    targets: list[dict[str, Any]] = field(default_factory=list)


class Events:
    """Events and messages for the parts; `mailbox` keeps every SNS message published."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.mailbox: list[dict[str, Any]] = []
        self._rules: dict[str, Rule] = {}
        self._schedules: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._pending: set[str] = set()
        self._refreshing = asyncio.Lock()
        gateway = cloud.gateway
        gateway.override("events", "PutRule", self._check_rule)
        gateway.override("events", "PutTargets", self._check_targets)
        gateway.override("events", "PutEvents", self._put_events)
        gateway.override("events", "TestEventPattern", self._test_pattern)
        gateway.subscribe("events", self._changed)
        gateway.override("sns", "Subscribe", self._check_subscription)
        gateway.after("sns", "Subscribe", self._subscribed)
        gateway.after("sns", "GetSubscriptionAttributes", self._show_pending)
        gateway.after("sns", "ListSubscriptionsByTopic", self._hide_pending)
        gateway.after("sns", "ListSubscriptions", self._hide_pending)
        gateway.override("sns", "Publish", self._publish)

    async def start(self) -> None:
        """Nothing runs until there are rules."""

    async def stop(self) -> None:
        """The schedules end with the cloud's other work."""

    async def emit(
        self, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]
    ) -> None:
        """Put an event of an AWS service on the default bus; it is delivered a moment later."""
        self.cloud.spawn(self._route(self._event(source, detail_type, detail, resources)))

    async def deliver(self, destination: str, record: dict[str, Any]) -> None:
        """Hand a JSON document to an SNS topic, SQS queue or function by its ARN."""
        service, text = destination.split(":")[2], json.dumps(record)
        if service == "sns":
            await self._send(destination, {"default": text})
        elif service == "sqs":
            await self._enqueue(destination, text)
        elif service == "lambda":
            await self.cloud.functions.invoke(destination, text.encode(), asynchronous=True)
        else:
            raise ValueError(f"nothing here delivers to {destination}")

    # EventBridge

    def _event(
        self,
        source: str,
        detail_type: str,
        detail: Any,
        resources: list[str],
        at: float | None = None,
    ) -> dict[str, Any]:
        """EventBridge User Guide, "Event structure reference"; `at`: epoch seconds, else now."""
        moment = self.cloud.clock.now() if at is None else at
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": ACCOUNT,
            "time": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": REGION,
            "resources": resources,
            "detail": detail,
        }

    async def _route(self, event: dict[str, Any]) -> None:
        await self.cloud.clock.sleep(self.cloud.settings["events"]["delivery_seconds"])
        for rule in list(self._rules.values()):
            if rule.pattern is not None and patterns.matches(rule.pattern, event):
                await self._to_targets(rule, event)

    async def _to_targets(self, rule: Rule, event: dict[str, Any]) -> None:
        for target in rule.targets:
            if "Input" in target:
                text = target["Input"]
            elif "InputPath" in target:
                found: Any = event
                for name in target["InputPath"].lstrip("$").split(".")[1:]:
                    found = found[name]
                text = json.dumps(found)
            else:
                text = json.dumps(event)
            await self._to_target(rule, target, text)
            # User Guide, "Monitoring Amazon EventBridge": successful and failed, and no zeros
            name = {"RuleName": rule.arn.rpartition("/")[2]}
            self.cloud.metrics.vend("AWS/Events", "Invocations", name, 1, "Count")

    async def _to_target(self, rule: Rule, target: dict[str, Any], text: str) -> None:
        """Refused deliveries go to the target's dead-letter queue: without permission and to what
        is gone there are no retries ("How EventBridge retries delivering events")."""
        service = target["Arn"].split(":")[2]
        if service != "lambda":
            await self.deliver(target["Arn"], json.loads(text))
            return
        result = await self.cloud.functions.invoke(
            target["Arn"],
            text.encode(),
            asynchronous=True,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
        )
        dead_letters = target.get("DeadLetterConfig", {}).get("Arn")
        if result.status >= 400 and dead_letters:
            await self._enqueue(dead_letters, text)

    async def _schedule(self, rule_arn: str, period: float) -> None:
        """Fire every `period` seconds from the rule's creation, or its being enabled, on."""
        moment = self.cloud.clock.now()
        while True:
            moment += period
            await self.cloud.clock.sleep_until(moment)
            rule = self._rules[rule_arn]
            event = self._event("aws.events", "Scheduled Event", {}, [rule_arn], at=moment)
            self.cloud.spawn(self._to_targets(rule, event))

    async def _changed(self, _: Call) -> None:
        """Read the rules again; schedules that are new start, those that are gone end."""
        async with self._refreshing:
            rules: dict[str, Rule] = {}
            for rule in await self.cloud.control.pages("events", "list_rules", "Rules"):
                if rule["State"] == "DISABLED":
                    continue
                try:
                    targets = await self.cloud.control.pages(
                        "events", "list_targets_by_rule", "Targets", Rule=rule["Name"]
                    )
                except ClientError:  # deleted a moment ago: the next call tells
                    continue
                rules[rule["Arn"]] = Rule(
                    rule["Arn"],
                    rule.get("ScheduleExpression", ""),
                    patterns.read(rule["EventPattern"]) if "EventPattern" in rule else None,
                    targets,
                )
            self._rules = rules
            wanted = {(rule.arn, rule.schedule) for rule in rules.values() if rule.schedule}
            for key in set(self._schedules) - wanted:
                self._schedules.pop(key).cancel()
            for key in wanted - set(self._schedules):
                self._schedules[key] = self.cloud.spawn(self._schedule(key[0], _period(key[1])))

    async def _check_rule(self, call: Call) -> None:
        if expression := call.params.get("ScheduleExpression"):
            _period(expression)
        if pattern := call.params.get("EventPattern"):
            _pattern(pattern)
        if call.params.get("EventBusName", "default") != "default":
            raise ApiError("NotImplemented", "the local cloud has the default bus only")

    async def _check_targets(self, call: Call) -> None:
        for target in call.params["Targets"]:
            for key in UNKNOWN_TARGET_KEYS:
                if key in target:
                    raise ApiError("NotImplemented", f"{key} of a target is not in the local cloud")
            if target["Arn"].split(":")[2] not in ("lambda", "sns", "sqs"):
                raise ApiError("NotImplemented", f"nothing here delivers to {target['Arn']}")

    async def _test_pattern(self, call: Call) -> Reply:
        pattern = _pattern(call.params["EventPattern"])
        return {"Result": patterns.matches(pattern, json.loads(call.params["Event"]))}

    async def _put_events(self, call: Call) -> Reply:
        ids = []
        for entry in call.params["Entries"]:
            event = self._event(
                entry["Source"],
                entry["DetailType"],
                json.loads(entry["Detail"]),
                entry.get("Resources", []),
            )
            ids.append({"EventId": event["id"]})
            self.cloud.spawn(self._route(event))
        return {"FailedEntryCount": 0, "Entries": ids}

    # SNS and SQS

    async def _check_subscription(self, call: Call) -> None:
        if call.params.get("Attributes", {}).get("FilterPolicy"):
            raise ApiError("NotImplemented", "filter policies are not in the local cloud")

    async def _subscribed(self, call: Call, reply: Reply) -> Reply | None:
        """An e-mail subscription stays pending until somebody confirms it: nobody does here."""
        if call.params["Protocol"] not in PENDING_PROTOCOLS:
            return None
        self._pending.add(reply["SubscriptionArn"])
        if call.params.get("ReturnSubscriptionArn"):
            return None
        return {"SubscriptionArn": "pending confirmation"}

    async def _show_pending(self, call: Call, reply: Reply) -> Reply:
        if call.params["SubscriptionArn"] in self._pending:
            reply["Attributes"]["PendingConfirmation"] = "true"
        return reply

    async def _hide_pending(self, _: Call, reply: Reply) -> Reply:
        for subscription in reply["Subscriptions"]:
            if subscription["SubscriptionArn"] in self._pending:
                subscription["SubscriptionArn"] = "PendingConfirmation"
        return reply

    async def _publish(self, call: Call) -> Reply:
        params = call.params
        topic = params.get("TopicArn") or params.get("TargetArn") or ""
        if not params.get("Message"):
            raise ApiError("InvalidParameter", "Invalid parameter: Empty message")
        attributes = {
            name: {"Type": value["DataType"], "Value": value.get("StringValue", "")}
            for name, value in params.get("MessageAttributes", {}).items()
        }
        messages = _by_protocol(params["Message"], params.get("MessageStructure", ""))
        try:
            message_id = await self._send(topic, messages, params.get("Subject"), attributes)
        except ClientError as error:
            details = error.response["Error"]
            raise ApiError(details["Code"], details["Message"], 404) from error
        return {"MessageId": message_id}

    async def _send(
        self,
        topic: str,
        messages: dict[str, str],
        subject: str | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> str:
        """Keep the message in the mailbox and deliver it; ClientError when there is no topic.

        `messages` has a wording for "default" and perhaps others by protocol.
        """
        await self.cloud.control.call("sns", "get_topic_attributes", TopicArn=topic)
        subscriptions = await self.cloud.control.pages(
            "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic
        )
        now, message_id = self.cloud.clock.now(), str(uuid.uuid4())
        notification: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": topic,
            **({} if subject is None else {"Subject": subject}),
            "Message": messages["default"],
            "Timestamp": iso(now),
            "MessageAttributes": attributes or {},
        }
        receivers = []
        for subscription in subscriptions:
            pending = subscription["SubscriptionArn"] in self._pending
            protocol, endpoint = subscription["Protocol"], subscription["Endpoint"]
            receivers.append({"protocol": protocol, "endpoint": endpoint, "pending": pending})
            worded = {**notification, "Message": messages.get(protocol, messages["default"])}
            self.cloud.spawn(self._notify(subscription, worded))
        self.mailbox.append(
            {
                "time": now,
                "id": message_id,
                "topic": topic,
                "subject": subject,
                "message": messages.get("email", messages["default"]),
                "messages": messages,
                "attributes": attributes or {},
                "subscribers": receivers,
            }
        )
        return message_id

    async def _notify(self, subscription: dict[str, Any], notification: dict[str, Any]) -> None:
        if subscription["Protocol"] == "sqs":
            await self._enqueue(subscription["Endpoint"], json.dumps(notification))
        elif subscription["Protocol"] == "lambda":
            record = {
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription["SubscriptionArn"],
                "EventSource": "aws:sns",
                "Sns": {
                    "SignatureVersion": "1",
                    "Signature": "LOCAL",
                    "SigningCertUrl": "",
                    "UnsubscribeUrl": "",
                    "Subject": None,
                    **notification,
                },
            }
            await self.cloud.functions.invoke(
                subscription["Endpoint"],
                json.dumps({"Records": [record]}).encode(),
                asynchronous=True,
                principal="sns.amazonaws.com",
                source_arn=notification["TopicArn"],
            )

    async def _enqueue(self, queue_arn: str, text: str) -> None:
        try:
            queue = await self.cloud.control.call(
                "sqs", "get_queue_url", QueueName=queue_arn.split(":")[-1]
            )
            await self.cloud.control.call(
                "sqs",
                "send_message",
                through_gateway=True,
                QueueUrl=queue["QueueUrl"],
                MessageBody=text,
            )
        except ClientError as error:
            print(f"{queue_arn} takes nothing: {error}", file=sys.stderr, flush=True)


def _by_protocol(message: str, structure: str) -> dict[str, str]:
    """The wordings of a message: SNS API Reference, Publish, MessageStructure."""
    if structure != "json":
        return {"default": message}
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("default"), str):
        what = "No default entry in JSON message body"
        raise ApiError("InvalidParameter", f"Invalid parameter: Message Structure - {what}")
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _period(expression: str) -> float:
    """Seconds between two firings; `ApiError` for what cannot fire here."""
    if (rate := RATE.fullmatch(expression)) is None:
        raise ApiError("NotImplemented", f"{expression!r} is not in the local cloud: rate() only")
    return int(rate.group(1)) * UNIT_SECONDS[rate.group(2)]


def _pattern(text: str) -> dict[str, Any]:
    """An event pattern, read; `ApiError` for one that EventBridge refuses."""
    try:
        return patterns.read(text)
    except ValueError as error:
        raise ApiError(
            "InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}"
        ) from error
