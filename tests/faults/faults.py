"""What can go wrong with one call to AWS, as the code above the SDK sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from botocore.exceptions import ClientError, ReadTimeoutError
from warmkeeper import TAKE_TIMEOUT_SECONDS

from tests.faults.simulation import READ_LAG_SECONDS, Effect, Killed, Simulation
from tests.warmkeeper.world import ConditionalCheckFailedException

ATTEMPT_SECONDS = 3.0  # the SDK waits so long for an answer, three times, where a call may repeat
PAUSES_SECONDS = 2.0  # between those
LASTING_SECONDS = 180.0
LATE_SECONDS = 2.0 * TAKE_TIMEOUT_SECONDS  # after its start, a call that takes has landed

ENDPOINT = "https://aws.example"
READS = ("Get", "Describe", "List")


def given_up(simulation: Simulation, taking: bool) -> None:
    """The SDK waits in vain: once where a call takes, else three times."""
    lasts = TAKE_TIMEOUT_SECONDS if taking else 3 * ATTEMPT_SECONDS + PAUSES_SECONDS
    simulation.timeline.sleep(lasts)


def fails(simulation: Simulation, taking: bool, _: Effect) -> object:
    simulation.timeline.sleep(0.0 if taking else PAUSES_SECONDS)
    raise ClientError({"Error": {"Code": "InternalFailure"}}, "call")


def throttled(simulation: Simulation, taking: bool, _: Effect) -> object:
    simulation.timeline.sleep(0.0 if taking else PAUSES_SECONDS)
    raise ClientError({"Error": {"Code": "ThrottlingException"}}, "call")


def not_allowed(_: Simulation, _taking: bool, _effect: Effect) -> object:
    """As with a new policy that this service of AWS has not heard of yet."""
    raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "call")


def hangs(simulation: Simulation, taking: bool, _: Effect) -> object:
    given_up(simulation, taking)
    raise ReadTimeoutError(endpoint_url=ENDPOINT)


def answer_lost(simulation: Simulation, taking: bool, effect: Effect) -> object:
    """Done, but the answer is lost: the SDK does it again, where that is allowed."""
    answer = effect()
    simulation.timeline.sleep(TAKE_TIMEOUT_SECONDS if taking else ATTEMPT_SECONDS)
    if taking:
        raise ReadTimeoutError(endpoint_url=ENDPOINT)
    return effect() or answer


def every_answer_lost(simulation: Simulation, taking: bool, effect: Effect) -> object:
    """Done, and nobody ever hears so."""
    effect()
    given_up(simulation, taking)
    raise ReadTimeoutError(endpoint_url=ENDPOINT)


def lands_late(simulation: Simulation, taking: bool, effect: Effect) -> object:
    """Given up, and done afterwards."""
    later = LATE_SECONDS if taking else 3 * ATTEMPT_SECONDS + PAUSES_SECONDS + LATE_SECONDS
    simulation.timeline.at(simulation.time + later, lambda: landed(effect))
    given_up(simulation, taking)
    raise ReadTimeoutError(endpoint_url=ENDPOINT)


def landed(effect: Effect) -> None:
    # nobody is there to hear of it
    with contextlib.suppress(ClientError, ConditionalCheckFailedException):
        effect()


def old_answer(simulation: Simulation, _: bool, effect: Effect) -> object:
    with simulation.as_of(READ_LAG_SECONDS):
        return effect()


def killed_before(_simulation: Simulation, _: bool, _effect: Effect) -> object:
    raise Killed


def killed_after(_: Simulation, _taking: bool, effect: Effect) -> object:
    effect()
    raise Killed


@dataclass(frozen=True)
class Kind:
    """A fault by name, and why it cannot occur at a site ("" where it can)."""

    name: str
    strikes: Callable[[Simulation, bool, Effect], object]
    impossible: Callable[[str], str] = lambda _: ""
    may_last: bool = True


def only_writes(site: str) -> str:
    return "a read leaves nothing behind" if site.startswith(READS) else ""


def only_reads(site: str) -> str:
    if site.startswith("GetItem"):
        return "the table is read consistently"
    if site == "GetParameter":
        return "the token is kept for minutes anyway"
    return "" if site.startswith(READS) else "a write shows nothing"


FAULTS = {
    kind.name: kind
    for kind in (
        Kind("fails", fails),
        Kind("is throttled", throttled),
        Kind("is not allowed yet", not_allowed),
        Kind("hangs", hangs),
        Kind("loses an answer", answer_lost, only_writes),
        Kind("loses every answer", every_answer_lost, only_writes),
        Kind("lands late", lands_late, only_writes, may_last=False),
        Kind("answers with the past", old_answer, only_reads),
        Kind("killed before", killed_before, may_last=False),
        Kind("killed after", killed_after, may_last=False),
    )
}
