"""Application Auto Scaling of ECS services against AWS's documentation."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.tests.live.estate import Running

pytestmark = pytest.mark.cloud

KEPT = ("MinCapacity", "MaxCapacity", "SuspendedState")
NOTHING_SUSPENDED = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}


def target_of(service: Running) -> dict[str, str]:
    """What names the service's scalable target."""
    return {
        "ServiceNamespace": "ecs",
        "ResourceId": f"service/{service.cluster}/{service.name}",
        "ScalableDimension": "ecs:service:DesiredCount",
    }


def scaling_of(service: Running) -> Any:
    """A client of Application Auto Scaling."""
    return service.site.estate.client("application-autoscaling")


def register(service: Running, **more: Any) -> None:
    """`RegisterScalableTarget` for the service."""
    scaling_of(service).register_scalable_target(**target_of(service), **more)


def put_policy(service: Running) -> None:
    """Give the target a policy of target tracking."""
    scaling_of(service).put_scaling_policy(
        **target_of(service),
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 60,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
            },
        },
    )


def described(service: Running) -> dict[str, Any]:
    """Bounds and flags of the service's target."""
    name = target_of(service)
    reply = scaling_of(service).describe_scalable_targets(
        ServiceNamespace=name["ServiceNamespace"], ResourceIds=[name["ResourceId"]]
    )
    [target] = reply["ScalableTargets"]
    return {key: target[key] for key in KEPT}


def desired(service: Running) -> int:
    """The service's count as `DescribeServices` has it."""
    return int(service.describe()["desiredCount"])


def count_after(service: Running, seconds: float) -> int:
    """The service's count when so many virtual seconds have passed."""
    service.site.estate.cloud.advance(seconds, speed=60)
    return desired(service)


def test_registering_again_keeps_what_it_does_not_name(own_service: Running) -> None:
    """RegisterScalableTarget: parameters that are not specified are not changed."""
    service = own_service
    register(service, MinCapacity=1, MaxCapacity=3)
    bounds = {"MinCapacity": 1, "MaxCapacity": 3}
    assert described(service) == {**bounds, "SuspendedState": NOTHING_SUSPENDED}
    register(service, SuspendedState={"DynamicScalingInSuspended": True})
    register(service, SuspendedState={"ScheduledScalingSuspended": True})
    two = {
        **NOTHING_SUSPENDED,
        "DynamicScalingInSuspended": True,
        "ScheduledScalingSuspended": True,
    }
    assert described(service) == {**bounds, "SuspendedState": two}
    register(service, MaxCapacity=4)
    assert described(service) == {"MinCapacity": 1, "MaxCapacity": 4, "SuspendedState": two}
    register(service, SuspendedState={"DynamicScalingInSuspended": False})
    assert described(service)["SuspendedState"] == {
        **NOTHING_SUSPENDED,
        "ScheduledScalingSuspended": True,
    }


def test_a_policy_pulls_a_count_below_the_minimum_up_to_it(own_service: Running) -> None:
    """Service auto scaling considerations: a policy that scales out scales up to the minimum."""
    service, cloud = own_service, own_service.site.estate.cloud
    register(service, MinCapacity=1, MaxCapacity=3)
    put_policy(service)
    service.count(0)
    began = cloud.now()
    assert desired(service) == 0
    service.site.estate.wait(lambda: desired(service) == 1, minutes=2)
    last = cloud.calls(service="ecs", action="UpdateService")[-1]
    assert (last["caller"], last["params"]["desiredCount"]) == ("localcloud", 1)
    assert last["time"] - began >= 30  # 60 by the setting, counted from before `began`


def test_without_a_policy_a_count_below_the_minimum_stands(own_service: Running) -> None:
    service = own_service
    register(service, MinCapacity=1, MaxCapacity=3)
    service.count(0)
    assert count_after(service, 180) == 0
    put_policy(service)
    service.site.estate.wait(lambda: desired(service) == 1, minutes=2)


def test_suspended_scaling_out_leaves_a_count_below_the_minimum(own_service: Running) -> None:
    """Suspend and resume scaling: policies are evaluated again when scaling is resumed."""
    service = own_service
    register(
        service,
        MinCapacity=1,
        MaxCapacity=3,
        SuspendedState={"DynamicScalingOutSuspended": True},
    )
    put_policy(service)
    service.count(0)
    assert count_after(service, 180) == 0
    register(service, SuspendedState={"DynamicScalingOutSuspended": False})
    assert desired(service) == 1


def test_a_deregistered_target_pulls_nothing_up(own_service: Running) -> None:
    service = own_service
    register(service, MinCapacity=1, MaxCapacity=3)
    put_policy(service)
    scaling_of(service).deregister_scalable_target(**target_of(service))
    service.count(0)
    assert count_after(service, 180) == 0
    reply = scaling_of(service).describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[target_of(service)["ResourceId"]]
    )
    assert reply["ScalableTargets"] == []


def test_a_fault_does_not_hit_the_call_of_a_policy(own_service: Running) -> None:
    """Faults are for clients and functions."""
    service, cloud = own_service, own_service.site.estate.cloud
    register(service, MinCapacity=1, MaxCapacity=3)
    put_policy(service)
    service.count(0)
    fault = cloud.fault("fail", "ecs", "UpdateService")
    try:
        service.site.estate.wait(lambda: desired(service) == 1, minutes=2)
        assert [each["hits"] for each in cloud.faults()] == [0]
    finally:
        cloud.clear_fault(fault)


def test_a_scheduled_action_is_described_as_it_was_put(own_service: Running) -> None:
    """PutScheduledAction and DescribeScheduledActions: stored, not executed."""
    service, scaling = own_service, scaling_of(own_service)
    register(service, MinCapacity=0, MaxCapacity=3)
    action = {
        "ScheduledActionName": "morning",
        "Schedule": "cron(0 7 ? * MON-FRI *)",
        "Timezone": "Europe/Zurich",
        "ScalableTargetAction": {"MinCapacity": 1, "MaxCapacity": 3},
    }
    scaling.put_scheduled_action(**target_of(service), **action)
    [found] = scaling.describe_scheduled_actions(**target_of(service))["ScheduledActions"]
    assert {key: found[key] for key in action} == action
    assert scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"] == [found]
    scaling.delete_scheduled_action(**target_of(service), ScheduledActionName="morning")
    assert scaling.describe_scheduled_actions(**target_of(service))["ScheduledActions"] == []
