# What the checks warn of and the preconditions refuse, and what they pass over. A failed check is a
# warning to a caller, and a failed run here unless it is expected; so is one that is known after apply,
# which the check of the warmkeeper's answer is in every plan that makes it: so these runs apply, but for
# those that a precondition ends. Conditions and actions of the service rule cannot be mocked (blocks of
# a data source): tests/integration/test_checks.py and tests/terraform/test_service_rule.py have those.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

run "silent_where_all_is_as_it_should_be" {
  assert {
    condition     = data.aws_lb_listener_rule.service["this"].arn == var.service_rule_arn && data.aws_lb_target_group.service["this"].arn == one(var.target_group_arns)
    error_message = "it has looked at what was given"
  }

  assert {
    condition     = data.aws_lb_listener.service["this"].arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    error_message = "and at the listener that both rules are on"
  }

  assert {
    condition     = jsondecode(aws_lambda_invocation.this.result).wiring == {}
    error_message = "the warmkeeper has found nothing"
  }
}

run "what_just_passes_is_not_warned_of" {
  variables {
    conditions = { path_pattern = ["*"] }
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
  variables {
    conditions = { host_header = ["a.example.com"] }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_paths_that_the_service_rule_has_not" {
  variables {
    conditions = { path_pattern = ["/app/*"] }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_a_wake_rule_that_would_not_stand_before_the_service_rule" {
  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 12 }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_a_wake_rule_that_a_websocket_rule_puts_behind_the_service_rule" {
  variables {
    websocket_rule = true
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 13 }
  }

  expect_failures = [check.service_rule]
}

run "refuses_a_wake_rule_that_would_begin_before_the_service_rule" {
  command = plan

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 30011 }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_a_parked_number_that_the_service_rule_holds" {
  command = plan

  variables {
    parked_rule_priority = 50000
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 50000 }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "a_parked_number_right_behind_the_service_rule_is_enough" {
  variables {
    parked_rule_priority = 50000
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 49999 }
  }

  assert {
    condition     = strcontains(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "/50000 ")
    error_message = "the wake rule goes back there"
  }
}

run "refuses_the_service_rules_number_for_the_control_rule" {
  command = plan

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 10 }
  }

  expect_failures = [aws_lb_listener_rule.fixed, check.service_rule]
}

run "refuses_the_service_rules_number_for_the_heartbeat_rule" {
  command = plan

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 11 }
  }

  expect_failures = [aws_lb_listener_rule.fixed, check.service_rule]
}

run "refuses_the_service_rules_number_for_the_websocket_rule" {
  command = plan

  variables {
    websocket_rule = true
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 12 }
  }

  expect_failures = [aws_lb_listener_rule.fixed, check.service_rule]
}

run "a_number_that_no_rule_of_the_module_is_made_with_is_warned_of_alone" {
  variables {
    heartbeat = { enabled = false }
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 11 }
  }

  expect_failures = [check.service_rule]
}

run "warns_of_a_load_balancer_that_cuts_held_requests" {
  override_data {
    target = data.aws_lb.service
    values = { idle_timeout = 34 }
  }

  expect_failures = [check.load_balancer]
}

run "an_idle_time_out_that_is_not_told_is_the_default" {
  override_data {
    target = data.aws_lb.service
    values = { idle_timeout = null }
  }
}

run "ten_seconds_more_than_a_request_is_held_are_enough" {
  variables {
    hold_seconds = 10
  }

  override_data {
    target = data.aws_lb.service
    values = { idle_timeout = 20 }
  }

  assert {
    condition     = data.aws_lb.service[0].arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
    error_message = "it has looked at the load balancer that the rules are on"
  }
}

run "warns_of_a_second_load_balancer_at_the_target_group" {
  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 5 }], load_balancer_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/internal/2222222222222222"] }
  }

  expect_failures = [check.unseen_traffic]
}

run "who_knows_better_is_not_warned_of_a_second_load_balancer" {
  variables {
    unseen_traffic = "ignore"
  }

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 5 }], load_balancer_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/internal/2222222222222222"] }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.UNSEEN_TRAFFIC == "ignore"
    error_message = "the function ignores it, too"
  }
}

run "the_load_balancer_that_the_rules_are_on_is_no_second_one" {
  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 5 }], load_balancer_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"] }
  }
}

run "warns_of_a_service_that_the_default_action_serves" {
  variables {
    conditions = { path_pattern = ["/app/*"] }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }

  expect_failures = [check.default_action, check.service_rule]
}

run "warns_of_a_service_that_is_one_of_the_default_actions_groups" {
  variables {
    conditions = { path_pattern = ["/app/*"] }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "", forward = [{ target_group = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", weight = 1 }] }] }] }
  }

  expect_failures = [check.default_action, check.service_rule]
}

run "instances_are_as_good_as_addresses" {
  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "instance", deregistration_delay = "15", health_check = [{ interval = 5 }] }
  }
}

run "refuses_a_target_group_of_a_function" {
  command = plan

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "lambda", deregistration_delay = null, health_check = [] }
  }

  expect_failures = [aws_lambda_function.this]
}

run "refuses_a_target_group_of_a_load_balancer" {
  command = plan

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "alb", deregistration_delay = "15", health_check = [{ interval = 5 }] }
  }

  expect_failures = [aws_lambda_function.this]
}

run "warns_of_a_health_check_that_defeats_the_minute" {
  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 11 }] }
  }

  expect_failures = [check.target_group]
}

run "who_aims_lower_may_check_as_seldom_as_aws_does" {
  variables {
    cold_start_target_seconds = 180
  }

  override_data {
    target = data.aws_lb_target_group.service
    values = { target_type = "ip", deregistration_delay = "15", health_check = [{ interval = 30 }] }
  }
}

run "the_shortest_interval_there_is_always_passes" {
  variables {
    cold_start_target_seconds = 10
  }
}

run "refuses_to_make_a_rule_where_the_default_action_serves_nothing" {
  command = plan

  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  expect_failures = [aws_lb_listener_rule.service]
}

run "refuses_to_make_a_rule_to_another_target_group_than_the_default_action_s" {
  command = plan

  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/fedcba9876543210", forward = [] }] }
  }

  expect_failures = [aws_lb_listener_rule.service]
}

run "refuses_to_make_a_rule_where_a_deployment_shifts_the_default_action" {
  command = plan

  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "", forward = [{ target_group = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", weight = 100 }, { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/fedcba9876543210", weight = 0 }] }] }] }
  }

  expect_failures = [aws_lb_listener_rule.service]
}

run "refuses_to_make_a_rule_that_leads_past_a_login" {
  command = plan

  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "authenticate-oidc", target_group_arn = "", forward = [] }, { type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }

  expect_failures = [aws_lb_listener_rule.service]
}

run "a_rule_to_make_needs_no_look_at_the_default_action" {
  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    checks_enabled      = false
  }

  assert {
    condition     = aws_lb_listener_rule.service["this"].priority == 13
    error_message = "its number is known, so no other one is asked for"
  }
}

run "warns_of_a_rule_to_make_that_leaves_requests_to_the_default_action" {
  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    conditions          = { host_header = ["a.example.com"] }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }

  expect_failures = [check.default_action]
}

run "a_default_action_that_another_route_stands_before_gets_no_request" {
  variables {
    service_rule_arn = null
    rule_priority    = null
    heartbeat        = { enabled = false }
    routes = {
      app = {
        service_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority    = 10
      }
      default = {
        create_service_rule = true
        listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
        rule_priority       = 200
      }
    }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }
}

run "warns_of_the_second_target_group_as_of_the_first" {
  variables {
    target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/fedcba9876543210"]
  }

  override_data {
    target = data.aws_lb_target_group.service["this/1"]
    values = { target_type = "ip", deregistration_delay = "300", health_check = [{ interval = 30 }], load_balancer_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/internal/2222222222222222"] }
  }

  expect_failures = [check.target_group, check.unseen_traffic]
}

run "refuses_a_second_target_group_of_a_function" {
  command = plan

  variables {
    target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/fedcba9876543210"]
  }

  override_data {
    target = data.aws_lb_target_group.service["this/1"]
    values = { target_type = "lambda", deregistration_delay = null, health_check = [] }
  }

  expect_failures = [aws_lambda_function.this]
}

run "refuses_a_route_whose_service_rule_holds_the_number_of_another_route" {
  command = plan

  variables {
    service_rule_arn = null
    rule_priority    = null
    heartbeat        = { enabled = false }
    routes = {
      app = {
        service_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority    = 10
      }
      www = {
        create_service_rule = true
        listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
        rule_priority       = 98
        conditions          = { host_header = ["www.example.com"] }
      }
    }
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }] }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}
