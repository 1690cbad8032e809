# What the checks warn of, and what they pass over. A failed check is a warning to a caller, and a failed
# run here unless it is expected. Conditions and actions of the service rule cannot be mocked (blocks of
# a data source): tests/integration/test_checks.py has those.

mock_provider "aws" {
  source = "./tests/module/mocks"
}

variables {
  name             = "web"
  cluster_name     = "staging"
  service_name     = "web"
  target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"
  service_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
  rule_priority    = 10
}

run "silent_where_all_is_as_it_should_be" {
  command = plan

  assert {
    condition     = data.aws_lb_listener_rule.service[0].arn == var.service_rule_arn && data.aws_lb_target_group.service[0].arn == var.target_group_arn
    error_message = "it has looked at what was given"
  }

  assert {
    condition     = data.aws_lb_listener.service[0].arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    error_message = "and at the listener that both rules are on"
  }
}

run "what_just_passes_is_not_warned_of" {
  command = plan

  variables {
    conditions = { paths = ["*"] }
  }

  # three numbers right before the service rule
  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 13 }
  }

  # a default action that no request comes to
  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }

  # a sixth of the cold start that is aimed at
  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "299", health_check = [{ interval = 10 }] }
  }
}

run "alarm_path_looks_at_the_target_group_alone_and_warns_of_a_drain_to_pay_for" {
  command = plan

  variables {
    wake_path         = "alarm"
    service_rule_arn  = null
    rule_priority     = null
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/other/9999999999999999"
  }

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "300", health_check = [{ interval = 5 }] }
  }

  assert {
    condition     = length(data.aws_lb_listener_rule.service) + length(data.aws_lb_listener.service) == 0
    error_message = "there is no listener to look at"
  }

  expect_failures = [check.target_group]
}

run "warns_of_hosts_that_the_service_rule_has_not" {
  command = plan

  variables {
    conditions = { hosts = ["a.example.com"] }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_paths_that_the_service_rule_has_not" {
  command = plan

  variables {
    conditions = { paths = ["/app/*"] }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_a_wake_rule_that_would_not_stand_before_the_service_rule" {
  command = plan

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 12 }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_a_wake_rule_that_a_websocket_rule_puts_behind_the_service_rule" {
  command = plan

  variables {
    websocket_rule = true
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 13 }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_a_service_that_the_default_action_serves" {
  command = plan

  variables {
    conditions = { paths = ["/app/*"] }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }

  expect_failures = [check.default_action, check.service_rule]
}

run "warns_of_a_service_that_is_one_of_the_default_actions_groups" {
  command = plan

  variables {
    conditions = { paths = ["/app/*"] }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "", forward = [{ target_group = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", weight = 1 }] }] }] }
  }

  expect_failures = [check.default_action, check.service_rule]
}

run "warns_of_targets_that_are_not_addresses" {
  command = plan

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "instance", deregistration_delay = "15", health_check = [{ interval = 5 }] }
  }

  expect_failures = [check.target_group]
}

run "warns_of_a_health_check_that_defeats_the_minute" {
  command = plan

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 11 }] }
  }

  expect_failures = [check.target_group]
}

run "who_aims_lower_may_check_as_seldom_as_aws_does" {
  command = plan

  variables {
    cold_start_target_seconds = 180
  }

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 30 }] }
  }
}

run "the_shortest_interval_there_is_always_passes" {
  command = plan

  variables {
    cold_start_target_seconds = 10
  }
}
