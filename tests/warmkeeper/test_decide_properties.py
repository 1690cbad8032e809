"""What holds for every decision, whatever was seen and heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import warmkeeper as wk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from warmkeeper import Decision, Kind, Memory, Observation, Phase, Rule, Signal, Wake

from tests.warmkeeper.world import ENVIRONMENT, World
from tools import forecast

NOW = 1_800_000_000.0
CONFIG = wk.Config.from_environment(ENVIRONMENT)
LIVE = wk.Task("t1", running=True)
QUIET = [kind for kind in Kind if kind not in wk.WAKING_KINDS]

settings.register_profile("decide", max_examples=100)
settings.load_profile("decide")

AGES = st.sampled_from([-0.5, 0, 0.5, 1, 2.9, 3, 3.1, 5, 6, 14, 60, 300, 301, 480, 9000])
PAST = st.one_of(st.just(0.0), AGES.map(lambda age: NOW - age))
AROUND = st.sampled_from([0.0, NOW - 5, NOW - 0.1, NOW, NOW + 0.1, NOW + 60, NOW + 9000])
COUNTS = st.dictionaries(st.just("this"), st.integers(1, 4))
STAGES = st.sampled_from(["asked", "placed", "pulled", "started"])
WAKES = st.builds(
    Wake,
    began=AGES.map(lambda age: NOW - age),
    cause=st.just("request"),
    given=st.dictionaries(st.just("this"), PAST),
    started=st.dictionaries(st.just("this"), PAST),
    started_by_us=st.booleans(),
    stage=STAGES,
    polled_at=PAST,
)
PAST_WAKES = st.lists(
    st.builds(
        lambda seconds, live: {"cause": "request", "seconds": seconds, "times": {"live": live}},
        st.floats(0, 900),
        PAST,
    ),
    max_size=5,
).map(tuple)
OFTEN = tuple({"cause": "request", "seconds": 20.0, "times": {"live": NOW}} for _ in range(4))
OPEN_PROBLEMS = st.sets(st.sampled_from(sorted(wk.NOTICES)), max_size=4).map(
    lambda codes: tuple(sorted(codes))
)
FAULTS = (wk.TARGET_GROUP_DETACHED.code, wk.IDLE_ALARM_MISSING.code)
TASKS = st.lists(
    st.builds(
        wk.Task,
        arn=st.sampled_from(["t1", "t2"]),
        times=st.fixed_dictionaries(
            {"createdAt": PAST},
            optional={"connectivityAt": PAST, "pullStoppedAt": PAST, "startedAt": PAST},
        ),
    ),
    max_size=2,
).map(tuple)


def service(
    name: str, desired: int, *, deploying: bool = False, since: float = NOW - 9000
) -> wk.Service:
    primary = wk.Deployment("ecs-svc/1", primary=True, created=since, in_progress=deploying)
    return wk.Service(name, desired, deployments=(primary,))


def counts_of(seen: Observation) -> dict[str, int]:
    return {service.name: service.desired for service in seen.services}


@st.composite
def memories(draw: st.DrawFn) -> Memory:
    phase = draw(st.sampled_from(list(Phase)))
    return Memory(
        version=draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7])),
        phase=phase,
        since=NOW - draw(AGES),
        min_awake_from=draw(PAST),
        last_take_at=draw(PAST),
        counts=draw(COUNTS),
        beat=draw(PAST),
        pinned_until=draw(AROUND),
        asked_to_sleep=draw(st.booleans()),
        wake=draw(st.none() | WAKES) if phase is Phase.WAKING else None,
        wakes=draw(PAST_WAKES),
        failures=draw(st.integers(0, 9)),
        failure=draw(st.sampled_from(["", "no image"])),
        failed_deployment=draw(st.sampled_from(["", "ecs-svc/1", "ecs-svc/0"])),
        retry_at=draw(AROUND),
        taking=draw(st.sampled_from([(), ("this",)])),
        to_start=draw(st.sampled_from([(), (), ("this",)])),
        open_problems=draw(OPEN_PROBLEMS),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    there = draw(st.integers(0, 9)) > 0
    app = service("app", draw(st.integers(0, 3)), deploying=draw(st.booleans()))
    tasks = draw(TASKS)
    return Observation(
        memory=draw(memories()),
        services=(app,) if there else (),
        missing=() if there else ("app",),
        rule=draw(st.sampled_from(list(Rule))),
        tasks=tasks,
        # as Reconciler.observe_closely() has it, no target of a service at 0 is live
        live=draw(st.sampled_from([None, (), tasks[:1]])) if app.desired else (),
        closed=draw(st.sampled_from([(), (), ("www",)])),
        lacking=draw(st.sampled_from([(), (), ("this",)])),
        strangers=draw(st.sampled_from([False, False, True])),
        wiring=draw(
            st.sampled_from(
                [{}, {}, {wk.UNSEEN_TRAFFIC.code: "Cloud Map"}, {wk.OTHER_RULES.code: "r"}]
            )
        ),
        idle=draw(st.sampled_from([None, False, True, True, True])),
        protected=draw(st.sampled_from([None, False, False, True])),
        wiring_fault=draw(st.sampled_from(["", "", "", *FAULTS])),
        stopped_reason=draw(st.sampled_from(["", "no image"])),
    )


@st.composite
def signals(draw: st.DrawFn, kinds: list[Kind] | None = None) -> Signal:
    kind = draw(st.sampled_from(kinds or list(Kind)))
    pin = draw(st.sampled_from([NOW + 1, NOW + 9000])) if kind is Kind.PIN else 0.0
    active = kind in (Kind.BEAT, Kind.ECS_EVENT) and draw(st.booleans())
    return Signal(kind, active=active, pinned_until=pin)


def decide(seen: Observation, signal: Signal) -> Decision:
    return wk.decide(replace(seen, began=NOW), signal, CONFIG, NOW)


def after(seen: Observation, decision: Decision) -> Observation:
    """What would be seen next, were everything done at once and the tasks' health to last."""
    given_counts = dict(decision.scale_up) | dict.fromkeys(decision.scale_to_zero, 0)
    counts = counts_of(seen) | given_counts
    services = tuple(replace(s, desired=counts[s.name]) for s in seen.services)
    memory = decision.memory or seen.memory
    if decision.memory:
        memory = replace(memory, version=seen.memory.version + 1)
    stuck = seen.rule in (Rule.MISSING, Rule.NONE)
    seen = replace(seen, memory=memory, services=services)
    if decision.scale_to_zero:
        seen = replace(seen, live=(), tasks=())
    return seen if stuck or not decision.rule else replace(seen, rule=decision.rule)


@given(observations(), signals())
def test_there_is_a_decision_for_everything_and_it_says_why(
    seen: Observation, signal: Signal
) -> None:
    decision = decide(seen, signal)
    assert decision.reason
    assert decision.rule in (None, Rule.UP, Rule.DOWN)
    assert decide(seen, signal) == decision


@given(observations(), signals())
def test_what_takes_stamps_the_memory_with_now(seen: Observation, signal: Signal) -> None:
    decision = decide(seen, signal)
    if decision.scale_to_zero or decision.rule is Rule.DOWN:
        assert decision.memory
        assert decision.memory.last_take_at == NOW


@given(observations(), signals())
def test_the_rule_goes_up_before_what_serves_only_to_fall_asleep(
    seen: Observation, signal: Signal
) -> None:
    """Nothing that runs is put out of service, by whatever is seen or not understood."""
    decision = decide(seen, signal)
    phase = decision.memory.phase if decision.memory else seen.memory.phase
    dying = seen.desired == 0 and not (seen.strangers or seen.detached)
    if decision.rule is Rule.UP and seen.serves and not dying:
        assert phase is Phase.DROWSY
        assert seen.memory.phase in (Phase.AWAKE, Phase.DROWSY)
        assert not seen.wiring_fault


@given(observations(), signals())
def test_nothing_is_given_and_taken_at_once(seen: Observation, signal: Signal) -> None:
    decision = decide(seen, signal)
    assert not (decision.scale_up and (decision.scale_to_zero or decision.rule is Rule.DOWN))
    assert not (decision.scale_to_zero and decision.rule is Rule.DOWN)


@given(observations(), signals())
def test_a_remembered_count_is_never_lost_and_never_0(seen: Observation, signal: Signal) -> None:
    decision = decide(seen, signal)
    if decision.memory:
        running = {each.member: each.desired for each in seen.services if each.desired}
        counts = decision.memory.counts
        assert all(count > 0 for count in counts.values())
        for name, count in seen.memory.counts.items():
            assert counts[name] in (count, running.get(name))
        if decision.scale_to_zero:
            assert counts.items() >= running.items()


@given(observations(), signals())
def test_what_is_given_is_the_remembered_count_and_never_lowers_one(
    seen: Observation, signal: Signal
) -> None:
    services = {each.name: each for each in seen.services}
    for name, count in decide(seen, signal).scale_up:
        remembered = seen.memory.counts.get(services[name].member, CONFIG.awake_count)
        assert count >= max(1, services[name].desired, remembered)


@given(observations(), signals())
def test_of_a_service_that_is_gone_nothing_is_given_or_taken(
    seen: Observation, signal: Signal
) -> None:
    decision = decide(replace(seen, services=(), missing=("app",)), signal)
    assert (decision.scale_up, decision.scale_to_zero, decision.rule) == ((), (), None)
    assert decision.memory is None or decision.memory.phase is seen.memory.phase


@given(observations(), signals())
def test_the_count_of_a_pinned_service_is_never_taken(seen: Observation, signal: Signal) -> None:
    assume(signal.kind is not Kind.UNPIN)
    memory = replace(seen.memory, version=1, pinned_until=NOW + 1)
    pinned = replace(seen, memory=memory, services=(service("app", 1),))
    assert not decide(pinned, signal).scale_to_zero


@given(observations(), signals())
def test_the_count_is_never_taken_while_deploying_but_at_the_deadline_of_a_wake(
    seen: Observation, signal: Signal
) -> None:
    services = (service("app", max(1, seen.desired), deploying=True),)
    decision = decide(replace(seen, services=services), signal)
    if decision.scale_to_zero:
        memory = seen.memory
        wake = memory.wake or Wake(memory.since, "")
        assert memory.phase is Phase.WAKING
        assert NOW - wake.started.get("this", wake.began) > CONFIG.wake_deadline_seconds


@given(observations(), signals())
def test_the_count_of_a_drowsy_service_is_taken_only_when_every_guard_agrees(
    seen: Observation, signal: Signal
) -> None:
    memory = seen.memory
    if memory.phase is Phase.DROWSY and decide(seen, signal).scale_to_zero:
        assert signal.kind in wk.SLEEPING_KINDS
        assert NOW - memory.since >= CONFIG.linger_seconds - wk.TICK_JITTER_SECONDS
        assert seen.rule in (Rule.UP, Rule.NONE, Rule.UNSEEN)
        assert not seen.protected
        asked = memory.asked_to_sleep or signal.kind is Kind.SLEEP
        assert asked or seen.idle
        assert asked or NOW - memory.beat >= CONFIG.idle_minutes * 60


@given(observations(), signals())
def test_the_count_is_taken_in_the_linger_and_at_the_deadline_and_where_that_failed(
    seen: Observation, signal: Signal
) -> None:
    memory = seen.memory
    if decide(seen, signal).scale_to_zero:
        assert memory.version > 0
        assert memory.phase in (Phase.DROWSY, Phase.WAKING) or memory.taking
        assert memory.phase is not Phase.AWAKE


@given(observations(), signals(), WAKES)
def test_a_count_that_we_did_not_give_is_never_taken_at_the_deadline(
    seen: Observation, signal: Signal, wake: Wake
) -> None:
    wake = replace(wake, started_by_us=False)
    memory = replace(seen.memory, version=1, phase=Phase.WAKING, wake=wake)
    services = (service("app", 1),)
    decision = decide(replace(seen, memory=memory, services=services, missing=()), signal)
    assert not decision.scale_to_zero
    assert decision.memory is None or decision.memory.phase is not Phase.ASLEEP


def towards_sleep(seen: Observation, decision: Decision) -> int:
    """How far a decision goes: 2 takes the count, 1 puts the wake rule up for it, 0 neither."""
    phase = decision.memory.phase if decision.memory else seen.memory.phase
    drowsy = phase is Phase.DROWSY and seen.memory.phase is not Phase.DROWSY
    return 2 if decision.scale_to_zero else 1 if drowsy else 0


def deployed_now(seen: Observation) -> wk.Service:
    """The service, deployed just now; a deployment that is under way still is."""
    deploying = any(s.is_deploying for s in seen.services)
    return service("app", seen.desired, deploying=deploying, since=NOW)


REASONS_TO_STAY: dict[str, Callable[[Observation], Observation]] = {
    "pinned": lambda s: replace(s, memory=replace(s.memory, pinned_until=NOW + 60)),
    "a beat": lambda s: replace(s, memory=replace(s.memory, beat=NOW)),
    "woken often": lambda s: replace(s, memory=replace(s.memory, wakes=OFTEN)),
    "woken just now": lambda s: replace(s, memory=replace(s.memory, min_awake_from=NOW)),
    "deploying": lambda s: replace(s, services=(service("app", s.desired, deploying=True),)),
    "deployed just now": lambda s: replace(s, services=(deployed_now(s),)),
    "protected": lambda s: replace(s, protected=True),
    "the alarm is OK": lambda s: replace(s, idle=False),
    "detached": lambda s: replace(s, wiring_fault=wk.TARGET_GROUP_DETACHED.code),
    "unseen traffic": lambda s: replace(s, wiring={wk.UNSEEN_TRAFFIC.code: "Cloud Map"}),
    "strangers": lambda s: replace(s, wiring={wk.STRANGE_TARGETS.code: "a group"}, strangers=True),
    "no rule": lambda s: replace(s, rule=Rule.MISSING),
}


@pytest.mark.parametrize("reason", REASONS_TO_STAY)
@given(seen=observations(), signal=signals())
def test_one_more_reason_to_stay_awake_never_leads_nearer_to_sleep(
    reason: str, seen: Observation, signal: Signal
) -> None:
    assume(seen.services)
    held = REASONS_TO_STAY[reason](seen)
    assert towards_sleep(held, decide(held, signal)) <= towards_sleep(seen, decide(seen, signal))


@given(observations(), signals(), st.sampled_from([0.5, 60, 3600, 90000]))
def test_time_alone_never_leads_away_from_sleep(
    seen: Observation, signal: Signal, seconds: float
) -> None:
    assume(signal.kind is not Kind.PIN)
    # within the fence a wake is not given again yet, which once comes before giving it up
    assume(
        seen.memory.phase is not Phase.WAKING or seen.memory.last_take_at + wk.FENCE_SECONDS <= NOW
    )
    later = forecast.decide_at(seen, signal, CONFIG, NOW + seconds)
    assert towards_sleep(seen, later) >= towards_sleep(seen, decide(seen, signal))


@given(observations(), signals())
def test_the_rule_goes_down_only_for_what_serves(seen: Observation, signal: Signal) -> None:
    decision = decide(seen, signal)
    if decision.rule is Rule.DOWN:
        assert decision.memory
        assert decision.memory.phase is Phase.AWAKE
        assert seen.live or seen.strangers or seen.detached
        past_deadline = wk.NOT_READY.code in decision.memory.open_problems
        assert past_deadline or not (seen.closed or seen.lacking)


@given(observations(), signals())
def test_the_rule_never_goes_down_for_a_count_of_0(seen: Observation, signal: Signal) -> None:
    memory = replace(seen.memory, version=1)
    services = (service("app", 0),)
    emptied = replace(seen, memory=memory, services=services, missing=(), live=(LIVE,))
    assert decide(emptied, signal).rule is not Rule.DOWN


@given(observations(), signals(), WAKES)
def test_a_wake_succeeds_only_past_the_fence_and_with_a_gift_younger_than_it(
    seen: Observation, signal: Signal, wake: Wake
) -> None:
    memory = replace(seen.memory, version=1, phase=Phase.WAKING, wake=wake)
    services = (service("app", 1),)
    waking = replace(seen, memory=memory, services=services, missing=(), live=(LIVE,))
    decision = wk.decide(replace(waking, began=0.0), signal, CONFIG, NOW)  # seen before the fence
    if decision.memory and decision.memory.phase is Phase.AWAKE:
        fence = waking.memory.last_take_at + wk.FENCE_SECONDS
        assert fence <= NOW
        late = wk.NOT_READY.code in decision.memory.open_problems
        assert late or wake.given.get("this", memory.since) >= fence


@given(observations(), signals(QUIET), st.sampled_from([Rule.UP, Rule.NONE]))
def test_where_aws_agrees_no_beat_tick_or_poll_leads_out_of_asleep(
    seen: Observation, signal: Signal, rule: Rule
) -> None:
    memory = replace(seen.memory, version=1, phase=Phase.ASLEEP, wake=None)
    services = (service("app", 0, deploying=seen.desired > 1),)
    agreed = replace(seen, memory=memory, services=services, missing=(), rule=rule)
    decision = decide(agreed, signal)
    assert decision.memory is None or decision.memory.phase is Phase.ASLEEP
    assert (decision.scale_up, decision.scale_to_zero, decision.rule) == ((), (), None)


@given(observations())
def test_a_beat_without_activity_counts_for_nothing(seen: Observation) -> None:
    beat, poll = decide(seen, Signal(Kind.BEAT, active=False)), decide(seen, Signal(Kind.POLL))
    assert replace(beat, reason="") == replace(poll, reason="")


@given(observations(), signals([Kind.REQUEST, Kind.WAKE_ALARM]))
def test_what_backs_off_is_woken_by_no_request(seen: Observation, signal: Signal) -> None:
    memory = replace(seen.memory, version=1, phase=Phase.ASLEEP, wake=None, failures=1)
    memory = replace(memory, failed_deployment="ecs-svc/1", retry_at=NOW + 0.1)
    decision = decide(replace(seen, memory=memory), signal)
    assert not decision.scale_up
    let_through = seen.live and seen.desired
    assert let_through or not decision.memory or decision.memory.phase is Phase.ASLEEP


@given(observations(), signals([Kind.WAKE, Kind.PIN, Kind.RESTORE]))
def test_whoever_insists_wakes_whatever_sleeps(seen: Observation, signal: Signal) -> None:
    memory = replace(seen.memory, version=1, phase=Phase.ASLEEP, wake=None)
    services = (service("app", 0),)
    decision = decide(replace(seen, memory=memory, services=services, missing=()), signal)
    assert decision.memory
    assert decision.memory.phase is Phase.WAKING
    assert decision.scale_up
    assert decision.rule is (None if seen.strangers or seen.detached else Rule.UP)


@given(observations(), signals())
def test_heard_again_at_the_same_moment_there_is_soon_nothing_more_to_do(
    seen: Observation, signal: Signal
) -> None:
    for _ in range(8):
        decision = decide(seen, signal)
        following = after(seen, decision)
        if following == seen and not decision.requeue:
            return
        seen = following
    raise AssertionError(f"never settles: {decision}")


@given(observations(), signals())
def test_nothing_that_was_noted_is_lost(seen: Observation, signal: Signal) -> None:
    decision = decide(seen, signal)
    if decision.memory:
        assert decision.memory.version == seen.memory.version
        assert decision.memory.beat >= seen.memory.beat
        if signal.kind not in (Kind.PIN, Kind.UNPIN):
            assert decision.memory.pinned_until >= seen.memory.pinned_until
        assert len(decision.memory.wakes) <= wk.KEPT_WAKES


@given(observations(), signals([Kind.BEAT, Kind.PIN, Kind.UNPIN]))
def test_beats_and_pins_are_noted_in_every_phase(seen: Observation, signal: Signal) -> None:
    services = seen.services or (service("app", 1),)
    memory = replace(seen.memory, version=1)
    seen = replace(seen, memory=memory, services=services, missing=())
    memory = decide(seen, signal).memory or seen.memory
    if signal.kind is Kind.BEAT:
        assert not signal.active or NOW - memory.beat < wk.BEAT_WRITE_SECONDS
    else:
        assert memory.pinned_until == signal.pinned_until


@given(observations(), signals(), st.sampled_from([0, 1, 7]))
def test_a_memory_of_another_form_is_decided_upon_as_if_there_were_none(
    seen: Observation, signal: Signal, version: int
) -> None:
    nothing = Memory(version=0, phase=Phase.AWAKE, since=NOW)
    without = decide(replace(seen, memory=nothing), signal)
    decision = decide(replace(seen, memory=replace(nothing, version=version, form=0)), signal)
    assert replace(decision, memory=None) == replace(without, memory=None)
    if without.memory is None:
        assert decision.memory is None
    else:
        assert decision.memory == replace(without.memory, version=version)
        assert decision.memory.form == wk.FORM
        assert decision.memory.last_take_at == NOW, "what was announced before may be on its way"
        assert not decision.scale_to_zero
        assert decision.rule is not Rule.DOWN


@given(memories())
def test_what_is_written_is_what_is_read(memory: Memory) -> None:
    aws = World().aws()
    written = aws.write_memory(memory)
    assert written == replace(memory, version=memory.version + 1)
    assert aws.read_memory() == written


STEPS = st.sampled_from(
    [Kind.REQUEST, Kind.TICK, Kind.POLL, Kind.BEAT, Kind.SLEEP, Kind.WAKE, Kind.IDLE_ALARM]
)


@settings(max_examples=60)
@given(st.lists(st.tuples(STEPS, st.sampled_from([0.0, 0.7, 3.0, 20.0, 61.0])), max_size=25))
def test_whatever_happened_a_client_that_keeps_asking_is_served(
    steps: list[tuple[Kind, float]],
) -> None:
    world = World(alarm="ALARM")
    world.signal(Kind.ADOPT)
    for kind, pause in steps:
        world.signal(kind, active=True)
        world.time += pause
        assert world.desired > 0 or world.rule_up, "nobody would hear a request"
    for _ in range(40):
        world.signal(Kind.REQUEST)
        world.time += 0.5
    assert world.phase() is Phase.AWAKE
    assert world.desired > 0
    assert not world.rule_up
    assert any(world.healthy(task) for task in world.running())


@given(observations(), st.floats(0, 1))
def test_a_way_out_that_needs_nothing_is_one_that_the_ticks_take_and_not_before(
    seen: Observation, share: float
) -> None:
    # the program always remembers the wake under way, and the forecast goes by its times
    assume(seen.memory.wake or seen.memory.phase is not Phase.WAKING)
    tick = Signal(Kind.TICK)
    for way in forecast.forecasts(seen, CONFIG, NOW):
        assert way.at_earliest >= NOW
        if way.needs:
            continue
        before = NOW + share * (way.at_earliest - NOW - 1)
        if before > NOW:
            decided = forecast.decide_at(seen, tick, CONFIG, before).memory or seen.memory
            assert decided.phase is seen.memory.phase
        later = seen
        # the first tick is now: what it moves, the wake rule say, has its time until the phase ends
        for at in (NOW, *[way.at_earliest] * 10):
            later = forecast.afterwards(later, forecast.decide_at(later, tick, CONFIG, at))
            if later.memory.phase is way.phase:
                break
        assert later.memory.phase is way.phase
