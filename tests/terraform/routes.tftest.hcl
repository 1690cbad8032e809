# Several routes, several target groups, a service rule that the module makes, and conditions of every kind.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled = false # the mocked service rule has no conditions, whatever is given
}

run "each_route_has_its_rules_on_its_listener_and_one_has_the_heartbeat" {
  variables {
    service_rule_arn = null
    rule_priority    = null
    heartbeat        = { route = "www" }
    routes = {
      apex = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { host_header = ["example.com"] }
      }
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/4444444444444444"
        rule_priority        = 20
        parked_rule_priority = 40001
        conditions           = { host_header = ["www.example.com"] }
        websocket_rule       = true
      }
      http = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/6666666666666666/7777777777777777"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  assert {
    condition = { for key, rule in aws_lb_listener_rule.fixed : key => rule.priority } == {
      "apex/control"  = 10
      "www/control"   = 20
      "www/heartbeat" = 21
      "www/websocket" = 22
      "http/control"  = 10
    }
    error_message = "a control rule for each, the heartbeat where it is named"
  }

  assert {
    condition     = keys(aws_lambda_invocation.route) == ["apex", "http", "www"] && alltrue([for route in aws_lambda_invocation.route : route.lifecycle_scope == "CRUD"])
    error_message = "the service is woken before a route that leaves loses its wake rule"
  }

  assert {
    condition     = { for key, rule in aws_lb_listener_rule.wake : key => rule.priority } == { apex = 40000, www = 40001, http = 40000 }
    error_message = "a wake rule for each, parked"
  }

  assert {
    condition = alltrue([
      for rule in [aws_lb_listener_rule.wake["http"], aws_lb_listener_rule.fixed["http/control"]] :
      rule.listener_arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/6666666666666666"
    ])
    error_message = "on the listener of its own service rule"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.fixed["www/control"].condition : [for host in condition.host_header : tolist(host.values)]]) == ["www.example.com"]
    error_message = "with the hosts of its own route"
  }

  assert {
    condition = { for key, route in jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes : key => join(" ", slice(split(" ", route), 0, 2)) } == {
      apex = "12/40000 2222222222222222/3333333333333333"
      www  = "23/40001 2222222222222222/4444444444444444"
      http = "12/40000 6666666666666666/7777777777777777"
      } && { for key, route in jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes : key => length(split(" ", route)) } == {
      apex = 4
      www  = 6
      http = 4
    }
    error_message = "the function knows each of them"
  }

  assert {
    condition     = keys(aws_lb_target_group.warmkeeper) == ["control", "wake"] && length(aws_lb_listener_rule.service) == 0
    error_message = "two target groups of the function serve all routes"
  }

  assert {
    condition = toset(one([
      for statement in data.aws_iam_policy_document.this.statement : statement.resources if statement.sid == "MoveWakeRule"
    ])) == toset(values(output.wake_rule_arns))
    error_message = "it may move the wake rules and no others"
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.idle) == ["this"] && output.service_rule_arns["http"] == var.routes["http"].service_rule_arn
    error_message = "all routes lead to one target group"
  }
}

run "a_single_route_has_the_heartbeat_unasked" {
  variables {
    service_rule_arn = null
    rule_priority    = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/4444444444444444"
        rule_priority        = 20
        parked_rule_priority = 40001
      }
    }
  }

  assert {
    condition     = keys(aws_lb_listener_rule.fixed) == ["www/control", "www/heartbeat"]
    error_message = "there is no choice to make"
  }
}

run "several_routes_take_heartbeats_below_the_control_path" {
  variables {
    service_rule_arn = null
    rule_priority    = null
    heartbeat        = { path = "/.warmkeeper/heartbeat" }
    routes = {
      apex = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/4444444444444444"
        rule_priority        = 13 # right behind the other one
        parked_rule_priority = 40001
      }
    }
  }

  assert {
    condition     = keys(aws_lb_listener_rule.fixed) == ["apex/control", "www/control"]
    error_message = "each control rule has them"
  }
}

run "the_service_rule_is_the_last_of_the_block_and_forwards_as_the_default_action_does" {
  variables {
    checks_enabled      = true
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    websocket_rule      = true
    target_group_arns   = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [{ target_group = [{ arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", weight = 1 }] }] }] }
  }

  assert {
    condition = (
      aws_lb_listener_rule.service["this"].priority == 14
      && aws_lb_listener_rule.wake["this"].priority == 30010
      && startswith(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "13/")
    )
    error_message = "control, heartbeat, WebSocket, wake, service"
  }

  assert {
    condition     = one(aws_lb_listener_rule.service["this"].action).target_group_arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef" && aws_lb_listener_rule.service["this"].listener_arn == var.listener_arn
    error_message = "to the target group, on the listener given"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.service["this"].condition : [for pattern in condition.path_pattern : tolist(pattern.values)]]) == ["/*"] && length(aws_lb_listener_rule.service["this"].condition) == 1
    error_message = "every request, unless told otherwise"
  }

  assert {
    condition     = length(data.aws_lb_listener_rule.service) == 0 && output.service_rule_arns["this"] == aws_lb_listener_rule.service["this"].arn
    error_message = "there was no rule to look at"
  }
}

run "a_service_rule_to_make_has_the_conditions_of_its_route" {
  variables {
    service_rule_arn = null
    rule_priority    = null
    heartbeat        = { route = "default" }
    routes = {
      app = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      default = {
        create_service_rule = true
        listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/6666666666666666"
        rule_priority       = 20
        conditions          = { host_header = ["a.example.com"], http_request_method = ["GET"] }
        target_group_arns   = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/aaaaaaaaaaaaaaaa"]
      }
    }
  }

  assert {
    condition     = aws_lb_listener_rule.service["default"].condition == aws_lb_listener_rule.wake["default"].condition && length(aws_lb_listener_rule.service["default"].condition) == 3
    error_message = "as the wake rule has them"
  }

  assert {
    condition     = keys(aws_lb_listener_rule.service) == ["default"] && aws_lb_listener_rule.service["default"].priority == 23 && one(aws_lb_listener_rule.service["default"].action).target_group_arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/aaaaaaaaaaaaaaaa"
    error_message = "to the route's own target group"
  }
}

run "each_target_group_has_an_alarm_that_calls_the_function" {
  variables {
    service_rule_arn  = null
    rule_priority     = null
    checks_enabled    = true
    target_group_arns = [for name in ["blue", "green"] : "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/${name}/0123456789abcdef"]
    heartbeat         = { enabled = false }
    routes = {
      main = {
        service_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority    = 10
      }
      test-site = {
        service_rule_arn  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/6666666666666666/7777777777777777"
        rule_priority     = 10
        target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/test/0123456789abcdef", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef"]
      }
    }
  }

  assert {
    condition = { for key, alarm in aws_cloudwatch_metric_alarm.idle : key => [alarm.alarm_name, alarm.dimensions.TargetGroup] } == {
      "this"        = ["web-idle", "targetgroup/blue/0123456789abcdef"]
      "this/1"      = ["web-idle-this-1", "targetgroup/green/0123456789abcdef"]
      "test-site/1" = ["web-idle-test-site-1", "targetgroup/test/0123456789abcdef"]
      "test-site/2" = ["web-idle-test-site-2", "targetgroup/blue/0123456789abcdef"]
    }
    error_message = "the first has the plain name"
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.idle : alarm.alarm_actions == toset([aws_lambda_function.this.arn])])
    error_message = "each calls the function"
  }

  assert {
    condition     = toset([for key, permission in aws_lambda_permission.this : key if permission.principal == "lambda.alarms.cloudwatch.amazonaws.com"]) == toset(["idle-alarm", "idle-alarm-this-1", "idle-alarm-test-site-1", "idle-alarm-test-site-2"])
    error_message = "and may"
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.IDLE_ALARM_ARNS == join(",", [for name in ["-test-site-1", "-test-site-2", "", "-this-1"] : "web-idle${name}"])
    error_message = "the function reads all of them"
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.TARGET_GROUP_ARNS == join(",", [for name in ["test", "blue", "green"] : "${name}/0123456789abcdef"])
    error_message = "and knows each group once"
  }

  assert {
    condition     = keys(data.aws_lb_target_group.service) == keys(aws_cloudwatch_metric_alarm.idle) && data.aws_lb_target_group.service["test-site/1"].arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/test/0123456789abcdef"
    error_message = "each is looked at"
  }
}

run "without_a_plain_list_the_first_group_is_that_of_the_first_route" {
  variables {
    service_rule_arn  = null
    rule_priority     = null
    target_group_arns = []
    heartbeat         = { enabled = false }
    dashboard_enabled = true
    routes = {
      b = {
        service_rule_arn     = "arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        target_group_arns    = ["arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:targetgroup/b/0123456789abcdef"]
      }
      a = {
        service_rule_arn     = "arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:listener-rule/app/edge/1111111111111111/6666666666666666/7777777777777777"
        rule_priority        = 10
        parked_rule_priority = 40000
        target_group_arns    = ["arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:targetgroup/a/0123456789abcdef"]
      }
    }
  }

  assert {
    condition     = { for key, alarm in aws_cloudwatch_metric_alarm.idle : key => alarm.alarm_name } == { "a/1" = "web-idle", "b/1" = "web-idle-b-1" }
    error_message = "the keys decide"
  }

  assert {
    condition = local.region == "cn-north-1" && alltrue([
      for name in ["a", "b"] :
      strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "targetgroup/${name}/0123456789abcdef")
      && strcontains(aws_cloudwatch_dashboard.this[0].dashboard_body, "\"requests served by ${name}\"")
    ])
    error_message = "the region follows from a route's target group, and the dashboard shows and names them all"
  }
}

run "service_connect_has_an_alarm_for_each_name" {
  variables {
    parked_rule_priority = 40000
    service_connect      = [{ discovery_name = "web" }, { discovery_name = "web-admin" }]
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.idle["connect/web-admin"].namespace == "AWS/ECS"
      && aws_cloudwatch_metric_alarm.idle["connect/web-admin"].metric_name == "RequestCount"
      && aws_cloudwatch_metric_alarm.idle["connect/web-admin"].treat_missing_data == "breaching"
      && aws_cloudwatch_metric_alarm.idle["connect/web-admin"].dimensions == tomap({ ClusterName = "staging", ServiceName = "web", DiscoveryName = "web-admin" })
    )
    error_message = "on what ECS counts of this service by this name"
  }

  assert {
    condition     = keys(output.idle_alarm_arns) == ["connect/web", "connect/web-admin", "this"] && aws_cloudwatch_metric_alarm.idle["connect/web"].alarm_name == "web-idle-connect-web"
    error_message = "beside the one of the target group"
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.SERVICE_CONNECT_NAMES == "web,web-admin"
    error_message = "the function knows the names"
  }

  assert {
    condition     = aws_lambda_permission.this["idle-alarm-connect-web"].source_arn == aws_cloudwatch_metric_alarm.idle["connect/web"].arn
    error_message = "and is called"
  }
}

run "autoscaling_that_is_left_alone_may_still_be_given_back" {
  variables {
    parked_rule_priority = 40000
    suspend_autoscaling  = false
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.SUSPEND_AUTOSCALING == "false"
    error_message = "the function is told"
  }

  assert {
    condition     = length(setintersection(["SeeAutoscaling", "SuspendAutoscaling"], data.aws_iam_policy_document.this.statement[*].sid)) == 2
    error_message = "a service that sleeps with its autoscaling suspended gets it back after the next wake"
  }
}

run "autoscaling_is_suspended_for_the_counts_of_ecs_services_alone" {
  variables {
    parked_rule_priority = 40000
  }

  assert {
    condition = {
      for condition in one([for statement in data.aws_iam_policy_document.this.statement : statement.condition if statement.sid == "SuspendAutoscaling"]) : condition.variable => condition.values
      } == {
      "application-autoscaling:service-namespace"  = tolist(["ecs"])
      "application-autoscaling:scalable-dimension" = tolist(["ecs:service:DesiredCount"])
    }
    error_message = "no table, no fleet"
  }
}

run "conditions_of_every_kind_are_on_the_wake_rule_and_those_of_the_sender_on_all" {
  variables {
    parked_rule_priority = 40000
    websocket_rule       = true
    heartbeat            = { enabled = false }
    conditions = {
      path_pattern        = ["/*"]
      http_header         = [{ http_header_name = "X-Origin-Secret", values = ["s3cret"] }]
      http_request_method = ["GET"]
      query_string        = [{ key = "version", value = "v1" }]
    }
  }

  assert {
    condition = toset(flatten([
      for condition in aws_lb_listener_rule.wake["this"].condition : concat(
        [for path in condition.path_pattern : tolist(path.values)],
        [for header in condition.http_header : "${header.http_header_name}: ${join(",", header.values)}"],
        [for method in condition.http_request_method : tolist(method.values)],
        [for pair in condition.query_string : "${pair.key}=${pair.value}"],
      )
    ])) == toset(["/*", "X-Origin-Secret: s3cret", "GET", "version=v1"])
    error_message = "as in the service rule"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.fixed["this/control"].condition : [for header in condition.http_header : header.http_header_name]]) == ["X-Origin-Secret"] && length(aws_lb_listener_rule.fixed["this/control"].condition) == 2
    error_message = "whoever goes round the proxy does not reach the function"
  }

  assert {
    condition     = toset(flatten([for condition in aws_lb_listener_rule.fixed["this/websocket"].condition : [for header in condition.http_header : header.http_header_name]])) == toset(["X-Origin-Secret", "Upgrade"]) && length(aws_lb_listener_rule.fixed["this/websocket"].condition) == 5
    error_message = "an upgrade meets the conditions of the service rule, too"
  }
}

run "sources_of_both_kinds_are_on_every_rule" {
  variables {
    parked_rule_priority = 40000
    conditions           = { source_ip = ["10.0.0.0/8", "2001:db8::/32"], query_string = [{ value = "open" }] }
  }

  assert {
    condition = alltrue([
      for rule in [aws_lb_listener_rule.wake["this"], aws_lb_listener_rule.fixed["this/control"], aws_lb_listener_rule.fixed["this/heartbeat"]] :
      toset(flatten([for condition in rule.condition : [for source in condition.source_ip : tolist(source.values)]])) == toset(["10.0.0.0/8", "2001:db8::/32"])
    ])
    error_message = "who may not reach the service may not wake it"
  }
}

run "eight_routes_fit_the_function_s_environment" {
  variables {
    service_rule_arn = null
    rule_priority    = null
    heartbeat        = { path = "/.warmkeeper/heartbeat" }
    routes = {
      for n in range(8) : "route-${n}" => {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/333333333333333${n}"
        rule_priority        = 10 + 10 * n
        parked_rule_priority = 40000 + n
        conditions           = { host_header = ["${n}.example.com"] }
        websocket_rule       = true
      }
    }
  }

  assert {
    condition     = local.environment_bytes <= local.most_environment_bytes
    error_message = "${local.environment_bytes} bytes are too many"
  }
}

run "a_service_rule_is_made_without_a_login" {
  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    target_group_arns   = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
  }

  assert {
    condition     = aws_lb_listener_rule.service["this"].action[*].type == tolist(["forward"])
    error_message = "it forwards"
  }
}

run "and_a_later_login_is_warned_of_because_it_does_not_reach_that_rule" {
  variables {
    service_rule_arn                 = null
    create_service_rule              = true
    listener_arn                     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    target_group_arns                = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
    authenticate_oidc                = { authorization_endpoint = "https://id.example.com/authorize", client_id = "staging", issuer = "https://id.example.com", token_endpoint = "https://id.example.com/token", user_info_endpoint = "https://id.example.com/userinfo" }
    authenticate_oidc_client_secrets = { this = "s3cret" }
  }

  expect_failures = [check.login]
}
