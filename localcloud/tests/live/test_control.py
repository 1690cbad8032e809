"""The local cloud's gateway, clock, Lambda, EventBridge and SNS against AWS's documentation.

Each expectation is written down from the page that the test names; everything runs over real
sockets in real processes.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from localcloud.client import POLL_SECONDS, PROGRAM, LocalCloud, running, start, stop
from localcloud.clock import Clock

pytestmark = pytest.mark.cloud

CODE = """
import json, logging, os, sys, threading, time

logging.getLogger().setLevel("INFO")
runs = 0


def beat(path):
    while True:
        with open(path, "a") as file:
            file.write(".")
        time.sleep(0.02)


def meet(folder, number):
    open(os.path.join(folder, os.environ["AWS_LAMBDA_LOG_STREAM_NAME"].rpartition("]")[2]), "w")
    until = time.time() + 60
    while len(os.listdir(folder)) < number and time.time() < until:
        time.sleep(0.02)
    return len(os.listdir(folder))


def handler(event, context):
    global runs
    runs += 1
    print(json.dumps({"run": runs, "now": time.time(), "event": event}))
    do = event.get("do") if isinstance(event, dict) else None
    if do == "fail":
        raise RuntimeError("told to fail")
    if do == "exit":
        os._exit(3)
    if do == "sleep":
        began = time.time()
        time.sleep(event["seconds"])
        return {"slept": time.time() - began}
    if do == "burn":
        before = time.process_time()
        while time.process_time() - before < 0.05:
            pass
        return time.process_time() - before
    if do == "log":
        logging.info("two\\nlines")
    if do == "call":
        import boto3
        boto3.client("ecs").list_clusters()
    if do == "beat":
        threading.Thread(target=beat, args=[event["path"]], daemon=True).start()
        while not os.path.exists(event["path"]):
            time.sleep(0.02)
    if do == "modules":
        return "boto3" in sys.modules
    if do == "meet":
        return meet(event["folder"], event["number"])
    if do == "measure":
        print(json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [
            {"Namespace": "Test", "Dimensions": [["Name"]],
             "Metrics": [{"Name": "Wakes", "Unit": "Count"}]}]}, "Name": "x", "Wakes": 2}))
    return {"run": runs, "now": time.time(), "left": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn, "environment": dict(os.environ)}
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with running() as started:
        yield started


@pytest.fixture(autouse=True)
def at_rest(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.set_speed(1)
    cloud.clear_faults()


def client(cloud: LocalCloud, service: str) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id="tester",
        aws_secret_access_key="tester",
        config=Config(retries={"total_max_attempts": 1}),
    )


def deploy(cloud: LocalCloud, code: str = CODE, **settings: Any) -> str:
    """A new function with a name of its own."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("program.py", code)
    name = f"f-{uuid.uuid4().hex[:8]}"
    iam = client(cloud, "iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client(cloud, "lambda").create_function(
        FunctionName=name,
        Role=role,
        Runtime="python3.13",
        Handler="program.handler",
        Code={"ZipFile": package.getvalue()},
        **settings,
    )
    return name


def arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:123456789012:function:{name}"


def invoke(cloud: LocalCloud, name: str, event: Any = None, **options: Any) -> dict[str, Any]:
    """The reply, with the payload read as JSON."""
    reply = client(cloud, "lambda").invoke(
        FunctionName=name, Payload=json.dumps(event or {}), **options
    )
    text = reply["Payload"].read()
    answer: dict[str, Any] = {**reply, "Payload": json.loads(text) if text else None}
    return answer


def logged(cloud: LocalCloud, name: str) -> list[str]:
    """Every message in the function's log group, in order."""
    logs, group = client(cloud, "logs"), f"/aws/lambda/{name}"
    try:
        streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    except ClientError:
        return []
    events = [
        event
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]
    return [event["message"] for event in events]


def runs(cloud: LocalCloud, name: str) -> list[dict[str, Any]]:
    """What each run of CODE has said: {"run", "now", "event"}."""
    lines = [message for message in logged(cloud, name) if message.startswith('{"run"')]
    return sorted((json.loads(line) for line in lines), key=lambda line: float(line["now"]))


def eventually(look: Callable[[], Any], seconds: float = 120) -> Any:
    """What `look` finds as soon as it finds something."""
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


# The clock


def test_sleepers_wake_in_order_and_on_time_at_any_speed(tmp_path: Path) -> None:
    async def run() -> list[tuple[float, float]]:
        clock = Clock(tmp_path / "clock", speed=1)
        began, woken = clock.now(), []

        async def sleeper(seconds: float) -> None:
            await clock.sleep_until(began + seconds)
            woken.append((seconds, clock.now() - began))

        sleepers = [asyncio.create_task(sleeper(n * 0.7)) for n in reversed(range(1, 40))]
        await asyncio.sleep(0)
        clock.set_speed(5000)
        await asyncio.gather(*sleepers)
        return woken

    woken = asyncio.run(run())
    assert [wanted for wanted, _ in woken] == sorted(wanted for wanted, _ in woken)
    slack = 1e-5  # of two floats of so many seconds since 1970
    assert all(seen >= wanted - slack for wanted, seen in woken)
    # time stands still at the next sleeper's moment until that one is woken
    assert all(seen <= after + slack for (_, seen), (after, _) in pairwise(woken))


def test_a_speed_for_so_many_seconds_ends_with_them_or_with_the_next(tmp_path: Path) -> None:
    async def run() -> list[float]:
        clock = Clock(tmp_path / "clock", speed=1)
        clock.set_speed(5000, 40)
        await clock.sleep(20)
        before = clock.speed
        await clock.sleep(20)
        await asyncio.sleep(0)
        ended = clock.speed
        clock.set_speed(5000, 40)
        clock.set_speed(4000)
        await clock.sleep(100)
        return [before, ended, clock.speed]

    assert asyncio.run(run()) == [5000, 1, 4000]
    with pytest.raises(ValueError, match="seconds must be above 0"):
        Clock(tmp_path / "clock").set_speed(10, 0)


@pytest.mark.parametrize("seconds", [600, 0, -5])
def test_an_advance_goes_as_far_as_there_is_to_go(cloud: LocalCloud, seconds: int) -> None:
    began = cloud.now()
    cloud.advance(seconds, speed=1000)
    assert cloud.now() - began >= seconds


def test_time_waits_for_who_looks_at_it(cloud: LocalCloud) -> None:
    ahead: list[float] = []

    def look() -> bool:
        began = time.monotonic()
        seen = cloud.now()
        time.sleep(0.5)
        passed = cloud.now() - seen
        ahead.append(passed - (time.monotonic() - began))
        return len(ahead) == 3

    cloud.advance_until(look, speed=1000)
    assert 0 < max(ahead) <= 2 * POLL_SECONDS * 1000


def test_a_sleeper_is_replanned_when_the_speed_changes(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock(tmp_path / "clock", speed=1)
        sleeping = asyncio.create_task(clock.sleep(3600))
        await asyncio.sleep(0.01)
        clock.set_speed(10_000)
        await asyncio.wait_for(sleeping, 300)

    asyncio.run(run())


def test_the_clock_is_real_while_anybody_is_busy(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock(tmp_path / "clock", speed=1000)
        with clock.busy():
            before, began = time.monotonic(), clock.now()
            between = time.monotonic()
            await asyncio.sleep(0.1)
            ending, ended = time.monotonic(), clock.now()
            after = time.monotonic()
        slack = 1e-5  # of two floats of so many seconds since 1970
        assert ending - between - slack <= ended - began <= after - before + slack

    asyncio.run(run())


def test_a_function_lives_in_virtual_time(cloud: LocalCloud) -> None:
    name = deploy(cloud)
    invoke(cloud, name)
    before = cloud.now()
    cloud.advance(3600, speed=5000)
    asked = cloud.now()
    inside = invoke(cloud, name)["Payload"]["now"]
    assert inside - before > 3600
    assert asked <= inside <= cloud.now()


def test_a_function_runs_at_real_speed_whatever_the_clock_does(cloud: LocalCloud) -> None:
    name = deploy(cloud, Timeout=300)
    invoke(cloud, name)
    cloud.set_speed(1000)
    began = time.monotonic()
    slept = invoke(cloud, name, {"do": "sleep", "seconds": 1})["Payload"]["slept"]
    assert 1 <= slept <= time.monotonic() - began


# Lambda


def test_invoke_answers_with_the_payload_and_the_version_that_ran(cloud: LocalCloud) -> None:
    """Lambda API Reference, Invoke; Developer Guide, "Defined runtime environment variables"."""
    name = deploy(cloud, Timeout=300, MemorySize=512, Environment={"Variables": {"NAME": "n"}})
    reply = invoke(cloud, name)
    assert (reply["StatusCode"], reply["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in reply
    assert 3000 < reply["Payload"]["left"] <= 300_000, "without one it would be 3 s"
    assert reply["Payload"]["arn"] == arn(name)
    environment = reply["Payload"]["environment"]
    assert environment["NAME"] == "n"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert environment["_HANDLER"] == "program.handler"


def test_an_exception_is_an_unhandled_function_error(cloud: LocalCloud) -> None:
    """Developer Guide, "Python function errors": errorMessage, errorType, stackTrace."""
    reply = invoke(cloud, deploy(cloud), {"do": "fail"})
    assert (reply["StatusCode"], reply["FunctionError"]) == (200, "Unhandled")
    assert reply["Payload"]["errorType"] == "RuntimeError"
    assert reply["Payload"]["errorMessage"] == "told to fail"
    assert reply["Payload"]["stackTrace"]


def test_a_function_that_ends_its_process_or_its_time_fails(cloud: LocalCloud) -> None:
    """Developer Guide, "Troubleshoot execution issues": Task timed out after N seconds."""
    name = deploy(cloud, Timeout=1)
    ended = invoke(cloud, name, {"do": "exit"})
    assert ended["FunctionError"] == "Unhandled"
    assert ended["Payload"]["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in ended["Payload"]["errorMessage"]
    late = invoke(cloud, name, {"do": "sleep", "seconds": 5})
    assert late["Payload"]["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert invoke(cloud, name)["Payload"]["run"] == 1


def test_a_package_that_cannot_be_imported_fails_each_invocation(cloud: LocalCloud) -> None:
    """Developer Guide, "Troubleshoot invocation issues": Runtime.ImportModuleError."""
    reply = invoke(cloud, deploy(cloud, "import nowhere_to_be_found"))
    assert reply["FunctionError"] == "Unhandled"
    assert reply["Payload"]["errorType"] == "Runtime.ImportModuleError"


def test_a_container_is_kept_warm_and_replaced_by_a_new_configuration(cloud: LocalCloud) -> None:
    """Developer Guide, "Understanding the Lambda execution environment lifecycle"."""
    name = deploy(cloud)
    assert [invoke(cloud, name)["Payload"]["run"] for _ in range(3)] == [1, 2, 3]
    client(cloud, "lambda").update_function_configuration(FunctionName=name, Timeout=300)
    fresh = invoke(cloud, name)["Payload"]
    assert fresh["run"] == 1
    assert 3000 < fresh["left"] <= 300_000


def test_a_container_is_frozen_between_invocations(cloud: LocalCloud, tmp_path: Path) -> None:
    """Same page: "Lambda freezes the execution environment when the runtime and each extension
    have completed and there are no pending events"."""
    name, beats = deploy(cloud, Timeout=300), tmp_path / "beats"
    invoke(cloud, name, {"do": "beat", "path": str(beats)})
    time.sleep(0.1)  # the signal has reached every thread
    frozen = beats.stat().st_size
    time.sleep(0.6)
    assert frozen > 0
    assert beats.stat().st_size == frozen
    invoke(cloud, name, {"do": "sleep", "seconds": 0.2})
    assert beats.stat().st_size > frozen, "it goes on where it was"


@pytest.mark.parametrize("forked", [True, False])
def test_a_run_is_known_with_its_cpu_time_and_that_of_its_init(
    cloud: LocalCloud, *, forked: bool
) -> None:
    name = deploy(cloud, Timeout=300)
    began = cloud.now()
    with cloud.having("lambda", forked=forked):
        replies = [invoke(cloud, name, {"do": "burn"}) for _ in range(2)]
    burnt = [reply["Payload"] for reply in replies]
    cold, warm = [run for run in cloud.runs() if run["function"] == name]
    assert began <= cold["began"] <= cold["ended"] <= warm["began"] <= warm["ended"] <= cloud.now()
    assert cold["init_seconds"] > 0
    assert cold["init_cpu_seconds"] > 0
    assert (warm["init_seconds"], warm["init_cpu_seconds"]) == (None, None)
    assert cold["cpu_seconds"] >= burnt[0]
    assert warm["cpu_seconds"] >= burnt[1]


@pytest.mark.parametrize("forked", [True, False])
def test_only_a_forked_container_has_boto3_before_it_imports_it(
    cloud: LocalCloud, *, forked: bool
) -> None:
    name = deploy(cloud)
    with cloud.having("lambda", forked=forked):
        assert invoke(cloud, name, {"do": "modules"})["Payload"] is forked


def test_simultaneous_invocations_get_containers_of_their_own(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    """Developer Guide, "Understanding Lambda function scaling"."""
    name, event = deploy(cloud, Timeout=90), {"do": "meet", "folder": str(tmp_path), "number": 4}
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: invoke(cloud, name, event), range(4)))
    assert [reply["Payload"] for reply in replies] == [4] * 4


def test_the_log_has_start_end_report_and_whole_messages(cloud: LocalCloud) -> None:
    """Developer Guide, "Log and monitor Python Lambda functions": START, END and REPORT lines."""
    name = deploy(cloud, MemorySize=256)
    reply = invoke(cloud, name, {"do": "log"}, LogType="Tail")
    lines = eventually(lambda: logged(cloud, name))
    assert lines[0].startswith("START RequestId: ")
    assert lines[0].endswith(" Version: $LATEST")
    assert any(line.startswith("[INFO]\t") and line.endswith("two\nlines") for line in lines)
    assert lines[-2].startswith("END RequestId: ")
    assert lines[-1].startswith("REPORT RequestId: ")
    for part in ("Duration: ", "Billed Duration: ", "Memory Size: 256 MB", "Init Duration: "):
        assert part in lines[-1]
    assert base64.b64decode(reply["LogResult"]).decode().startswith("START RequestId: ")


def test_json_logging_writes_platform_events(cloud: LocalCloud) -> None:
    """Developer Guide, "Configuring JSON and plain text log formats"."""
    name = deploy(cloud, LoggingConfig={"LogFormat": "JSON"})
    invoke(cloud, name, {"do": "log"})
    lines = [json.loads(line) for line in eventually(lambda: logged(cloud, name))]
    kinds = [line["type"] for line in lines if "type" in line]
    assert kinds == ["platform.start", "platform.report"]
    message = next(line for line in lines if line.get("message"))
    assert (message["level"], message["message"]) == ("INFO", "two\nlines")
    shown = client(cloud, "lambda").get_function_configuration(FunctionName=name)
    assert shown["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": f"/aws/lambda/{name}",
    }


def test_embedded_metrics_become_metrics(cloud: LocalCloud) -> None:
    """CloudWatch User Guide, "Specification: Embedded metric format"."""
    began = cloud.now()
    invoke(cloud, deploy(cloud), {"do": "measure"})

    def points() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client(cloud, "cloudwatch").get_metric_statistics(
            Namespace="Test",
            MetricName="Wakes",
            Dimensions=[{"Name": "Name", "Value": "x"}],
            StartTime=began - 120,
            EndTime=cloud.now() + 120,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return found

    (point,) = eventually(points)
    assert (point["Sum"], point["Unit"]) == (2.0, "Count")


def sums(
    cloud: LocalCloud, namespace: str, dimension: str, name: str, metric: str, since: float
) -> list[float]:
    """The sums of a metric's minutes since then that can be seen by now."""
    points = client(cloud, "cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": dimension, "Value": name}],
        StartTime=since - 60,
        EndTime=cloud.now(),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    return [point["Sum"] for point in points]


def test_a_function_s_invocations_errors_and_throttles_are_counted_by_the_minute(
    cloud: LocalCloud,
) -> None:
    """Developer Guide, "Types of metrics for Lambda functions"."""
    name, began = deploy(cloud), cloud.now()

    def counted(metric: str) -> float:
        return sum(sums(cloud, "AWS/Lambda", "FunctionName", name, metric, began))

    invoke(cloud, name)
    invoke(cloud, name, {"do": "fail"})
    client(cloud, "lambda").put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=0
    )
    with pytest.raises(ClientError):
        invoke(cloud, name)
    assert counted("Invocations") == 0, "CloudWatch is late"
    cloud.advance_until(lambda: counted("Throttles"), minutes=5, speed=60)
    assert [counted(each) for each in ("Invocations", "Errors", "Throttles")] == [2, 1, 1]
    assert counted("Duration") > 0


def test_a_failing_event_is_tried_three_times_and_then_reported(cloud: LocalCloud) -> None:
    """Developer Guide, "Error handling and retries for asynchronous invocation": two more times,
    one minute after the first, two after the second; "Invocation record" for the destination."""
    name = deploy(cloud)
    topic = client(cloud, "sns").create_topic(Name=f"failed-{name}")["TopicArn"]
    client(cloud, "lambda").put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": topic}}
    )
    assert invoke(cloud, name, {"do": "fail"}, InvocationType="Event")["StatusCode"] == 202

    def record() -> Any:
        return [mail for mail in cloud.mailbox() if mail["topic"] == topic]

    cloud.advance_until(record, minutes=20, speed=200)
    eventually(lambda: len(runs(cloud, name)) == 3)
    first, second, third = (run["now"] for run in runs(cloud, name))
    assert second - first >= 60
    assert third - second >= 120
    document = json.loads(record()[0]["message"])
    assert document["version"] == "1.0"
    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 3
    assert document["requestContext"]["functionArn"] == f"{arn(name)}:$LATEST"
    assert document["requestPayload"] == {"do": "fail"}
    assert document["responseContext"]["functionError"] == "Unhandled"
    assert document["responsePayload"]["errorType"] == "RuntimeError"


def test_an_event_is_not_retried_where_that_is_switched_off(cloud: LocalCloud) -> None:
    """Same page: MaximumRetryAttempts 0."""
    name = deploy(cloud)
    client(cloud, "lambda").put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0
    )
    invoke(cloud, name, {"do": "fail"}, InvocationType="Event")
    cloud.advance(600, speed=1000)
    assert len(runs(cloud, name)) == 1


@pytest.mark.parametrize(("maximum_age", "seconds"), [(60, 60), (None, 6 * 3600)])
def test_reserved_concurrency_throttles(
    cloud: LocalCloud, maximum_age: int | None, seconds: int
) -> None:
    """Developer Guide, "Configuring reserved concurrency"; API Reference, Invoke: 429. An event
    that is throttled for longer than its maximum age (six hours unless configured) goes to the
    failure destination."""
    name = deploy(cloud)
    topic = client(cloud, "sns").create_topic(Name=f"old-{name}")["TopicArn"]
    functions = client(cloud, "lambda")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    functions.put_function_event_invoke_config(
        FunctionName=name,
        **({"MaximumEventAgeInSeconds": maximum_age} if maximum_age else {}),
        DestinationConfig={"OnFailure": {"Destination": topic}},
    )
    with pytest.raises(ClientError) as caught:
        invoke(cloud, name)
    assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    began = cloud.now()
    invoke(cloud, name, InvocationType="Event")

    def record() -> Any:
        return [mail for mail in cloud.mailbox() if mail["topic"] == topic]

    cloud.advance_until(record, minutes=600, speed=min(seconds, 3000))
    assert record()[0]["time"] - began >= seconds
    context = json.loads(record()[0]["message"])["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("EventAgeExceeded", 0)


def test_a_function_that_is_not_there(cloud: LocalCloud) -> None:
    """API Reference, Invoke: ResourceNotFoundException, 404."""
    with pytest.raises(ClientError) as caught:
        invoke(cloud, "nobody")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


# EventBridge and SNS


def permit(cloud: LocalCloud, name: str, principal: str, source_arn: str) -> None:
    client(cloud, "lambda").add_permission(
        FunctionName=name,
        StatementId=uuid.uuid4().hex,
        Action="lambda:InvokeFunction",
        Principal=principal,
        SourceArn=source_arn,
    )


def rule(cloud: LocalCloud, name: str, **settings: Any) -> str:
    events = client(cloud, "events")
    created: str = events.put_rule(Name=name, **settings)["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn(name)}])
    return created


def test_a_schedule_fires_every_minute_once_it_is_permitted(cloud: LocalCloud) -> None:
    """EventBridge User Guide, "Creating a scheduled rule" and "Using resource-based policies";
    the event of "Events from Amazon EventBridge": Scheduled Event."""
    name = deploy(cloud)
    rule_arn = rule(cloud, name, ScheduleExpression="rate(1 minute)")
    cloud.advance(150, speed=200)
    assert runs(cloud, name) == []
    permit(cloud, name, "events.amazonaws.com", rule_arn)
    cloud.advance_until(lambda: len(runs(cloud, name)) >= 5, speed=200)
    client(cloud, "events").disable_rule(Name=name)
    minutes = [run["event"]["time"] for run in runs(cloud, name)]
    times = [datetime.fromisoformat(minute) for minute in minutes]
    assert {later - sooner for sooner, later in pairwise(times)} == {timedelta(minutes=1)}
    event = runs(cloud, name)[0]["event"]
    assert event["source"] == "aws.events"
    assert event["detail-type"] == "Scheduled Event"
    assert (event["resources"], event["detail"]) == ([rule_arn], {})
    time.sleep(1)
    fired = len(runs(cloud, name))
    cloud.advance(200, speed=200)
    assert len(runs(cloud, name)) == fired


def test_a_rule_counts_what_it_invokes_and_says_nothing_while_it_does_not(
    cloud: LocalCloud,
) -> None:
    """EventBridge User Guide, "Monitoring Amazon EventBridge": sent only if it is not zero."""
    name, began = deploy(cloud), cloud.now()
    rule(cloud, name, ScheduleExpression="rate(1 minute)")

    def counted() -> list[float]:
        return sums(cloud, "AWS/Events", "RuleName", name, "Invocations", began)

    cloud.advance_until(lambda: len(counted()) >= 3, minutes=10, speed=120)
    assert set(counted()) == {1.0}, "also where the function does not permit it"
    client(cloud, "events").disable_rule(Name=name)
    cloud.advance(180)
    then = len(counted())
    cloud.advance(300)
    assert len(counted()) == then


def test_only_events_that_match_reach_the_target(cloud: LocalCloud) -> None:
    """EventBridge User Guide, "Creating event patterns": a field must be one of the values."""
    name = deploy(cloud)
    pattern = {
        "source": ["app"],
        "detail": {"group": [{"prefix": "service:"}], "status": ["RUNNING", "STOPPED"]},
    }
    rule_arn = rule(cloud, name, EventPattern=json.dumps(pattern))
    permit(cloud, name, "events.amazonaws.com", rule_arn)
    sent = [
        ("app", {"group": "service:a", "status": "RUNNING"}),
        ("app", {"group": "family:a", "status": "RUNNING"}),
        ("app", {"group": "service:a", "status": "PENDING"}),
        ("other", {"group": "service:a", "status": "RUNNING"}),
        ("app", {"group": "service:b", "status": "STOPPED", "more": 1}),
    ]
    client(cloud, "events").put_events(
        Entries=[
            {"Source": source, "DetailType": "Changed", "Detail": json.dumps(detail)}
            for source, detail in sent
        ]
    )
    eventually(lambda: len(runs(cloud, name)) >= 2)
    time.sleep(0.5)
    details = [run["event"]["detail"] for run in runs(cloud, name)]
    assert sorted(details, key=str) == sorted([sent[0][1], sent[4][1]], key=str)


def test_a_pattern_is_tested_and_refused_as_by_eventbridge(cloud: LocalCloud) -> None:
    """API Reference, TestEventPattern and PutRule: InvalidEventPatternException."""
    events = client(cloud, "events")
    event = json.dumps({"source": "aws.ecs", "detail": {"group": "service:web"}})
    for wanted, result in (("service:", True), ("family:", False)):
        pattern = json.dumps({"detail": {"group": [{"prefix": wanted}]}})
        assert events.test_event_pattern(EventPattern=pattern, Event=event)["Result"] is result
    with pytest.raises(ClientError) as caught:
        events.put_rule(Name="odd", EventPattern='{"source": [{"like": "aws.*"}]}')
    assert caught.value.response["Error"]["Code"] == "InvalidEventPatternException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_sns_delivers_to_functions_and_waits_for_people_to_confirm(cloud: LocalCloud) -> None:
    """SNS Developer Guide, "Fanout to Lambda functions" and "Email notifications"; Lambda Developer
    Guide, "Invoking Lambda functions with Amazon SNS notifications"."""
    name, sns = deploy(cloud), client(cloud, "sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    permit(cloud, name, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn(name))
    mail = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    assert mail["SubscriptionArn"] == "pending confirmation"
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {one["Protocol"]: one["SubscriptionArn"] for one in listed}["email"] == (
        "PendingConfirmation"
    )
    message_id = sns.publish(TopicArn=topic, Subject="s", Message="m")["MessageId"]
    (record,) = eventually(lambda: runs(cloud, name))[0]["event"]["Records"]
    assert (record["EventSource"], record["EventVersion"]) == ("aws:sns", "1.0")
    assert record["Sns"]["MessageId"] == message_id
    assert (record["Sns"]["Subject"], record["Sns"]["Message"]) == ("s", "m")
    assert (record["Sns"]["TopicArn"], record["Sns"]["Type"]) == (topic, "Notification")
    kept = next(mail for mail in cloud.mailbox() if mail["id"] == message_id)
    assert (kept["topic"], kept["subject"], kept["message"]) == (topic, "s", "m")
    assert {one["protocol"]: one["pending"] for one in kept["subscribers"]} == {
        "lambda": False,
        "email": True,
    }


def test_sns_has_a_wording_for_each_protocol(cloud: LocalCloud) -> None:
    """SNS API Reference, Publish: MessageStructure."""
    name, sns = deploy(cloud), client(cloud, "sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    permit(cloud, name, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn(name))
    worded = {"default": "all", "lambda": "function", "email": "mail", "https": "chat"}
    attributes = {"kind": {"DataType": "String", "StringValue": "k"}}
    published = sns.publish(
        TopicArn=topic,
        Message=json.dumps(worded),
        MessageStructure="json",
        MessageAttributes=attributes,
    )
    (record,) = eventually(lambda: runs(cloud, name))[0]["event"]["Records"]
    assert record["Sns"]["Message"] == "function"
    assert record["Sns"]["MessageAttributes"] == {"kind": {"Type": "String", "Value": "k"}}
    kept = next(mail for mail in cloud.mailbox() if mail["id"] == published["MessageId"])
    assert (kept["message"], kept["messages"]) == ("mail", worded)
    for odd in ('{"email": "no default"}', "no JSON"):
        with pytest.raises(ClientError, match="No default entry"):
            sns.publish(TopicArn=topic, Message=odd, MessageStructure="json")


def test_publishing_to_no_topic_is_an_error(cloud: LocalCloud) -> None:
    """SNS API Reference, Publish: NotFound, 404."""
    with pytest.raises(ClientError) as caught:
        client(cloud, "sns").publish(
            TopicArn="arn:aws:sns:us-east-1:123456789012:none", Message="m"
        )
    assert caught.value.response["Error"]["Code"] == "NotFound"


# The gateway


def test_calls_are_recorded_with_caller_and_resource(cloud: LocalCloud) -> None:
    since = max((call["n"] for call in cloud.calls()), default=0)
    name = deploy(cloud)
    invoke(cloud, name, {"do": "call"})
    assert [c["resource"] for c in cloud.calls(since, "lambda", "Invoke", "tester")] == [name]
    (inside,) = cloud.calls(since, caller=f"function.{name}")
    assert (inside["service"], inside["action"], inside["status"]) == ("ecs", "ListClusters", 200)
    assert inside["seconds"] > 0
    with pytest.raises(ClientError):
        client(cloud, "ecs").describe_services(cluster="none", services=["s"])
    assert cloud.calls(since, "ecs", "DescribeServices")[-1]["error"] == "ClusterNotFoundException"


ASKING = """
import boto3
from botocore.exceptions import ClientError

CALLS = [
    ("ecs", "list_clusters", {}),
    ("dynamodb", "describe_table", {"TableName": "none"}),
    ("elbv2", "describe_load_balancers", {}),
    ("cloudwatch", "describe_alarms", {}),
    ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": "m"}),
    ("ssm", "describe_parameters", {}),
    ("sqs", "list_queues", {}),
    ("rds", "describe_db_instances", {}),
]


def handler(event, context):
    said = {}
    for service, method, arguments in CALLS:
        try:
            getattr(boto3.client(service), method)(**arguments)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            details = error.response["Error"]
            said[service] = [details["Code"], status, details["Message"]]
    return said
"""


def test_a_new_policy_is_effective_late_in_each_service_for_itself(cloud: LocalCloud) -> None:
    """IAM User Guide, "Changes that I make are not always immediately visible"."""
    name = deploy(cloud, ASKING, Timeout=60)
    iam, policy = client(cloud, "iam"), {"RoleName": name, "PolicyName": "p"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW]})
    services = ("ecs", "dynamodb", "elbv2", "cloudwatch", "sns", "ssm", "sqs", "rds")
    cloud.settings(iam={"policy_delay_seconds": {**dict.fromkeys(services, 300), "ecs": 100000}})

    def refused() -> dict[str, list[Any]]:
        said = invoke(cloud, name)["Payload"].items()
        return {service: error for service, error in said if error[0] in DENIED}

    try:
        assert refused() == {}  # nobody has put a policy: permissions are not looked at
        iam.put_role_policy(**policy, PolicyDocument=document)
        since = max(call["n"] for call in cloud.calls())
        said = refused()
        assert {service: error[:2] for service, error in said.items()} == {
            "ecs": ["AccessDeniedException", 400],
            "dynamodb": ["AccessDeniedException", 400],
            "elbv2": ["AccessDenied", 403],
            "cloudwatch": ["AccessDenied", 403],
            "sns": ["AuthorizationError", 403],
            "ssm": ["AccessDeniedException", 400],
            "sqs": ["AccessDenied", 403],
            "rds": ["AccessDenied", 403],
        }
        user = f"User: arn:aws:sts::123456789012:assumed-role/{name}/{name} is not authorized"
        assert said["sns"][2] == (
            f"{user} to perform: SNS:Publish on resource: arn:aws:sns:us-east-1:123456789012:t "
            "because no identity-based policy allows the SNS:Publish action"
        )
        action = "elasticloadbalancing:DescribeLoadBalancers"
        assert said["elbv2"][2] == (
            f"{user} to perform: {action} because no identity-based policy allows the {action} "
            "action"
        )
        assert "to perform: sqs:listqueues on resource" in said["sqs"][2]
        errors = {call["error"] for call in cloud.calls(since, caller=f"function.{name}")}
        assert errors == DENIED
        client(cloud, "ecs").list_clusters()  # of functions alone
        cloud.advance(300)
        assert set(refused()) == {"ecs"}
        iam.put_role_policy(**policy, PolicyDocument=document)
        assert set(refused()) == {"ecs"}  # a change of a policy takes nothing away
        iam.delete_role_policy(**policy)
        iam.put_role_policy(**policy, PolicyDocument=document)
        assert set(refused()) == set(services)
    finally:
        cloud.settings(iam={"policy_delay_seconds": {}})
    assert refused() == {}


ALLOW = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}


def test_what_nobody_implements_is_a_4xx_that_names_the_action(cloud: LocalCloud) -> None:
    with pytest.raises(ClientError) as caught:
        client(cloud, "logs").put_account_policy(
            policyName="p", policyDocument="{}", policyType="DATA_PROTECTION_POLICY"
        )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "PutAccountPolicy" in str(caught.value)
    with pytest.raises(ClientError, match=r"cron.* is not in the local cloud"):
        client(cloud, "events").put_rule(Name="c", ScheduleExpression="cron(0 9 * * ? *)")


def test_query_definitions_and_tags_of_scalable_targets_are_kept(cloud: LocalCloud) -> None:
    """CloudWatch Logs API Reference, PutQueryDefinition and DescribeQueryDefinitions."""
    logs = client(cloud, "logs")
    made = logs.put_query_definition(name="q", queryString="fields @message")["queryDefinitionId"]
    (found,) = logs.describe_query_definitions(queryDefinitionNamePrefix="q")["queryDefinitions"]
    assert (found["queryDefinitionId"], found["queryString"]) == (made, "fields @message")
    assert logs.delete_query_definition(queryDefinitionId=made)["success"]
    assert logs.describe_query_definitions()["queryDefinitions"] == []


def test_faults_hit_as_often_as_they_are_told(cloud: LocalCloud) -> None:
    dynamodb, ecs = client(cloud, "dynamodb"), client(cloud, "ecs")
    cloud.fault("throttle", "dynamodb", "ListTables", count=1)
    with pytest.raises(ClientError) as caught:
        dynamodb.list_tables()
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    dynamodb.list_tables()
    cloud.fault("fail", "ecs", "ListClusters", caller="somebody")
    ecs.list_clusters()
    cloud.fault("fail", "ecs", "ListClusters", caller="tester", code="ServerException")
    with pytest.raises(ClientError) as caught:
        ecs.list_clusters()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_each_kind_of_fault_does_what_it_says(cloud: LocalCloud) -> None:
    """On any call, by service, action, caller and a part of the resource's name."""
    sqs = client(cloud, "sqs")
    sqs.create_queue(QueueName="queue")

    def ask() -> float:
        began = time.monotonic()
        sqs.get_queue_attributes(QueueUrl=f"{cloud.endpoint}/123456789012/queue")
        return time.monotonic() - began

    about: dict[str, Any] = {"count": 1, "resource": "queue", "caller": "tester"}
    cloud.fault("fail", "sqs", "GetQueueAttributes", code="Own", status=503, message="m", **about)
    with pytest.raises(ClientError) as caught:
        ask()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "m" in str(caught.value)
    cloud.fault("throttle", "sqs", "GetQueueAttributes", **about)
    with pytest.raises(ClientError, match="Rate exceeded"):
        ask()
    cloud.fault("delay", "sqs", "GetQueueAttributes", seconds=0.5, **about)
    assert ask() >= 0.5
    cloud.fault("hang", "sqs", "GetQueueAttributes", seconds=0.5, **about)
    began = time.monotonic()
    with pytest.raises(HTTPClientError):
        ask()
    assert time.monotonic() - began >= 0.5
    cloud.fault("fail", "sqs", "GetQueueAttributes", resource="another")
    ask()
    assert [fault["hits"] for fault in cloud.faults()] == [1, 1, 1, 1, 0]


def test_faults_are_listed_and_taken_back_one_by_one(cloud: LocalCloud) -> None:
    ecs = client(cloud, "ecs")
    first = cloud.fault("fail", "ecs", "ListClusters")
    second = cloud.fault("fail", "ecs", "ListServices")
    assert [fault["id"] for fault in cloud.faults()] == [first, second]
    cloud.clear_fault(first)
    ecs.list_clusters()
    with pytest.raises(ClientError):
        ecs.list_services()
    assert [(fault["id"], fault["hits"]) for fault in cloud.faults()] == [(second, 1)]
    with pytest.raises(OSError, match="404"):
        cloud.clear_fault(first)
    with pytest.raises(OSError, match="400"):
        cloud.fault("explode", "ecs", "ListClusters")
    with pytest.raises(OSError, match="400"):
        cloud.fault("fail", "ecs", "ListClusters", sevrice="ecs")
    with pytest.raises(OSError, match="400"):
        cloud.fault("fail", "ecs", "ListClusters", count="once")
    with pytest.raises(OSError, match="400"):
        cloud.stop_task("arn:aws:ecs:us-east-1:123456789012:task/none/none")


def test_a_call_whose_answer_is_lost_has_been_done(cloud: LocalCloud) -> None:
    sns, name = client(cloud, "sns"), f"lost-{uuid.uuid4().hex[:6]}"
    cloud.fault("lost_answer", "sns", "CreateTopic", count=1)
    with pytest.raises(HTTPClientError):
        sns.create_topic(Name=name)
    assert any(topic["TopicArn"].endswith(name) for topic in sns.list_topics()["Topics"])


def test_settings_are_changed_by_name_and_only_those_there_are(cloud: LocalCloud) -> None:
    before = cloud.settings()["ecs"]["pull_seconds"]
    assert cloud.settings(ecs={"pull_seconds": 3})["ecs"]["pull_seconds"] == 3
    cloud.settings(ecs={"pull_seconds": before})
    with pytest.raises(OSError, match="400"):
        cloud.settings(ecs={"pul_seconds": 3})
    for delays in ({"elb2": 3}, {"ecs": "long"}, {"ecs": -1}, 5):
        with pytest.raises(OSError, match="400"):
            cloud.settings(iam={"policy_delay_seconds": delays})
    assert cloud.settings()["iam"] == {"policy_delay_seconds": {}}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_however_it_ends(number: signal.Signals, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as output:
        process, endpoint = start([*PROGRAM, "--port", "0"], output)
    try:
        own = LocalCloud(endpoint)
        invoke(own, deploy(own))
        children = _children(process.pid)
        assert len(children) == 2  # moto, and the process that forks
        containers = [each for child in children for each in _children(child)]
        assert len(containers) == 1
        os.kill(process.pid, number)
        process.wait(20)
        left = (*children, *containers)
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    finally:
        process.kill()
        stop(process)


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found
