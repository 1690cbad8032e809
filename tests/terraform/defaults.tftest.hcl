# What the module plans and makes with the least that a caller writes.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

run "rules_stand_where_the_caller_left_room" {
  assert {
    condition     = aws_lb_listener_rule.fixed["this/control"].priority == 10 && aws_lb_listener_rule.fixed["this/heartbeat"].priority == 11
    error_message = "control and heartbeat rules take the first two of the three numbers"
  }

  assert {
    condition     = startswith(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "12/")
    error_message = "the wake rule, up, takes the third"
  }

  assert {
    condition     = aws_lb_listener_rule.wake["this"].priority == 30010 && strcontains(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "/30010 ")
    error_message = "down, and when it is made, it has a number of its own, far behind the service rule"
  }

  assert {
    condition     = aws_lb_listener_rule.wake["this"].listener_arn == "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    error_message = "the listener's ARN follows from the service rule's"
  }

  assert {
    condition = alltrue([
      for rule in [aws_lb_listener_rule.fixed["this/control"], aws_lb_listener_rule.fixed["this/heartbeat"], aws_lb_listener_rule.wake["this"]] :
      rule.action[0].type == "forward"
    ])
    error_message = "every rule forwards"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.wake["this"].condition : [for pattern in condition.path_pattern : tolist(pattern.values)]]) == ["/*"]
    error_message = "the wake rule matches every path unless told otherwise"
  }

  assert {
    condition     = length(aws_lb_listener_rule.wake["this"].condition) == 1
    error_message = "without hosts there is no host condition, which would need a value"
  }
}

run "lambda_target_groups_are_not_health_checked" {
  assert {
    condition = alltrue([
      for group in aws_lb_target_group.warmkeeper :
      group.target_type == "lambda" && length(group.health_check) == 0 && group.lambda_multi_value_headers_enabled
    ])
    error_message = "each health check would be an invocation, and single headers would lose query keys"
  }
}

run "idle_is_no_request_with_missing_data_breaching" {
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.idle["this"].metric_name == "RequestCount"
      && aws_cloudwatch_metric_alarm.idle["this"].statistic == "Sum"
      && aws_cloudwatch_metric_alarm.idle["this"].comparison_operator == "LessThanThreshold"
      && aws_cloudwatch_metric_alarm.idle["this"].threshold == 1
      && aws_cloudwatch_metric_alarm.idle["this"].treat_missing_data == "breaching"
      && aws_cloudwatch_metric_alarm.idle["this"].period == 60
      && aws_cloudwatch_metric_alarm.idle["this"].evaluation_periods == 5
      && aws_cloudwatch_metric_alarm.idle["this"].datapoints_to_alarm == 5
    )
    error_message = "five of five minutes below one request, and a silent minute is one of them"
  }

  assert {
    condition = aws_cloudwatch_metric_alarm.idle["this"].dimensions == tomap({
      LoadBalancer = "app/edge/1111111111111111"
      TargetGroup  = "targetgroup/web/0123456789abcdef"
    })
    error_message = "the dimensions follow from the ARNs"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle["this"].alarm_actions == toset([aws_lambda_function.this.arn])
    error_message = "the idle alarm invokes the warmkeeper directly"
  }
}

run "alarms_for_people_are_silent_on_silence" {
  assert {
    condition = alltrue([
      for name in ["cold_start", "failed_wake", "errors", "throttles"] :
      aws_cloudwatch_metric_alarm.people[name].treat_missing_data == "notBreaching" && aws_cloudwatch_metric_alarm.people[name].alarm_actions == toset([aws_sns_topic.this.arn])
    ])
    error_message = "an alarm for people goes to the topic, and only on data"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.people["cold_start"].threshold == 60
    error_message = "the cold start is held against its target"
  }
}

run "a_silent_tick_is_told_and_a_new_module_is_not" {
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.people["tick_silent"].treat_missing_data == "missing"
      && aws_cloudwatch_metric_alarm.people["tick_silent"].insufficient_data_actions == toset([aws_sns_topic.this.arn])
      && aws_cloudwatch_metric_alarm.people["tick_silent"].dimensions == tomap({ RuleName = aws_cloudwatch_event_rule.this["tick"].name })
    )
    error_message = "no data is what a silent tick gives, and INSUFFICIENT_DATA is how every alarm begins"
  }
}

run "function_is_what_the_design_says" {
  assert {
    condition = (
      aws_lambda_function.this.runtime == "python3.13"
      && aws_lambda_function.this.architectures == tolist(["arm64"])
      && aws_lambda_function.this.memory_size == 512
      && aws_lambda_function.this.timeout == 360
      && aws_lambda_function.this.handler == "warmkeeper.handler"
    )
    error_message = "arm64, Python 3.13, 512 MB, and a minute more than the wake's deadline"
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == filebase64sha256("lambda/warmkeeper.zip")
    error_message = "the function follows the committed package"
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.MIN_AWAKE_MINUTES == "8"
    error_message = "awake for idle_minutes and three more unless told otherwise"
  }

  assert {
    condition = {
      for key, value in aws_lambda_function.this.environment[0].variables : key => value if key != "ROUTES"
      } == {
      NAME                     = "web"
      ACCOUNT                  = "arn:aws:*:eu-west-1:123456789012:"
      CLUSTER_NAME             = "staging"
      MEMBERS                  = jsonencode({ this = { service = "web" } })
      TARGET_GROUP_ARNS        = "web/0123456789abcdef"
      WAKE_TARGET_GROUP_ARN    = "web-lambda/4444444444444444"
      CONTROL_TARGET_GROUP_ARN = "web-lambda/4444444444444444"
      TABLE_NAME               = "web-warmkeeper"
      TOPIC_ARN                = "web-warmkeeper"
      IDLE_ALARM_ARNS          = "web-idle"
      MIN_AWAKE_MINUTES        = "8"
    }
    error_message = "the environment says what the inputs say, and nothing that the function has as its default"
  }

  # The mocked rules of the module have one ARN.
  assert {
    condition = jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES) == {
      rules  = "app/edge/1111111111111111/2222222222222222/"
      routes = { this = "12/30010 3333333333333333 5555555555555555 5555555555555555 5555555555555555" }
    }
    error_message = "the function knows its rules, whose ARNs it puts together"
  }
}

run "stale_events_are_dropped_and_failures_told" {
  assert {
    condition     = aws_cloudwatch_event_rule.this["tick"].schedule_expression == "rate(1 minute)" && aws_cloudwatch_event_rule.this["tick"].state != "DISABLED"
    error_message = "the tick comes every minute"
  }

  assert {
    condition     = aws_cloudwatch_event_target.this["tick"].retry_policy[0].maximum_retry_attempts == 0 && aws_cloudwatch_event_target.this["tick"].retry_policy[0].maximum_event_age_in_seconds == 60
    error_message = "the next tick is the retry"
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 120
      && aws_lambda_function_event_invoke_config.this.destination_config[0].on_failure[0].destination == aws_sns_topic.this.arn
    )
    error_message = "two minutes, then the topic"
  }
}

run "ecs_events_are_those_of_this_service" {
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.this["ecs-task"].event_pattern) == {
      source        = ["aws.ecs"]
      "detail-type" = ["ECS Task State Change"]
      detail = {
        clusterArn = ["arn:aws:ecs:eu-west-1:123456789012:cluster/staging"]
        group      = ["service:web"]
      }
    }
    error_message = "a task event names its service as a group, which every cluster may have"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["ecs-service"].event_pattern).resources == ["arn:aws:ecs:eu-west-1:123456789012:service/staging/web"]
    error_message = "the other events carry no group: their resources do"
  }
}

run "every_permission_names_its_caller" {
  assert {
    condition = {
      for permission in aws_lambda_permission.this :
      permission.statement_id => permission.principal if permission.source_arn != null
      } == {
      "idle-alarm"           = "lambda.alarms.cloudwatch.amazonaws.com"
      "tick"                 = "events.amazonaws.com"
      "ecs-task"             = "events.amazonaws.com"
      "ecs-service"          = "events.amazonaws.com"
      "control-target-group" = "elasticloadbalancing.amazonaws.com"
      "wake-target-group"    = "elasticloadbalancing.amazonaws.com"
    }
    error_message = "each caller is let in by its own ARN"
  }
}

run "policy_has_one_statement_for_each_purpose" {
  assert {
    condition = data.aws_iam_policy_document.this.statement[*].sid == tolist([
      "WriteLog", "ReadMemoryAndSettings", "WriteMemory", "CountHeld", "SeeAndScaleService", "SeeDeployments", "SeeAutoscaling",
      "SuspendAutoscaling", "ListTasks", "SeeTasks",
      "SeeTargets", "SeeRules", "MoveWakeRule", "ReadIdleAlarm", "TellPeople",
    ])
    error_message = "nothing more than what is used"
  }

  assert {
    condition = {
      for statement in data.aws_iam_policy_document.this.statement : statement.sid => statement.actions
      } == {
      WriteLog              = toset(["logs:CreateLogStream", "logs:PutLogEvents"])
      ReadMemoryAndSettings = toset(["dynamodb:GetItem"])
      WriteMemory           = toset(["dynamodb:PutItem"])
      CountHeld             = toset(["dynamodb:UpdateItem"])
      SeeAndScaleService    = toset(["ecs:DescribeServices", "ecs:UpdateService"])
      SeeDeployments        = toset(["ecs:ListServiceDeployments"])
      SeeAutoscaling        = toset(["application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScheduledActions"])
      SuspendAutoscaling    = toset(["application-autoscaling:RegisterScalableTarget"])
      ListTasks             = toset(["ecs:ListTasks"])
      SeeTasks              = toset(["ecs:DescribeTasks", "ecs:GetTaskProtection"])
      SeeTargets            = toset(["elasticloadbalancing:DescribeTargetHealth"])
      SeeRules              = toset(["elasticloadbalancing:DescribeRules"])
      MoveWakeRule          = toset(["elasticloadbalancing:SetRulePriorities"])
      ReadIdleAlarm         = toset(["cloudwatch:DescribeAlarms"])
      TellPeople            = toset(["sns:Publish"])
    }
    error_message = "the actions of the warmkeeper's own calls, no others"
  }

  assert {
    condition = toset([
      for statement in data.aws_iam_policy_document.this.statement : statement.sid if contains(statement.resources, "*")
    ]) == toset(["SeeAutoscaling", "ListTasks", "SeeTargets", "SeeRules"])
    error_message = "a wildcard only where AWS knows no resource"
  }

  assert {
    condition = one([
      for statement in data.aws_iam_policy_document.this.statement : one(statement.condition).values if statement.sid == "WriteMemory"
    ]) == tolist(["memory"])
    error_message = "the settings are Terraform's"
  }

  assert {
    condition     = alltrue([for rule in jsondecode(local.settings).wake_policy : keys(rule) == ["answer", "class", "methods", "paths", "source_ranges", "user_agents"]])
    error_message = "the function reads every field of every rule, also those that the file leaves out"
  }

  assert {
    condition     = join(" ", distinct([for rule in jsondecode(local.settings).wake_policy : "${rule.class}:${rule.answer}"])) == "checkers:asleep monitors:asleep probes:asleep crawlers:unavailable previews:unavailable scanners:not-found people:wake icons:unavailable"
    error_message = "the checkers come first, then the rules of wake-policy.yaml in their order"
  }
}

run "nothing_that_costs_extra_is_on" {
  assert {
    condition     = length(aws_cloudwatch_dashboard.this) == 0 && output.dashboard_url == null
    error_message = "a dashboard is asked for"
  }

  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == null && aws_cloudwatch_log_group.this.kms_key_id == null
    error_message = "a key of one's own is asked for"
  }

  assert {
    condition     = aws_iam_role.this.path == "/" && aws_iam_role.this.permissions_boundary == null
    error_message = "so are a path and a boundary of the role"
  }

  assert {
    condition     = length(aws_sns_topic_subscription.email) == 0
    error_message = "nobody is subscribed unasked"
  }

  assert {
    condition     = aws_dynamodb_table.this.billing_mode == "PAY_PER_REQUEST" && aws_cloudwatch_log_group.this.retention_in_days == 14
    error_message = "paid by request, and kept for a fortnight"
  }
}

run "outputs_are_of_what_was_made" {
  assert {
    condition = (
      output.function_name == aws_lambda_function.this.function_name
      && output.function_arn == aws_lambda_function.this.arn
      && output.role_name == aws_iam_role.this.name
      && output.topic_arn == aws_sns_topic.this.arn
      && output.log_group_name == aws_cloudwatch_log_group.this.name
      && output.table_name == aws_dynamodb_table.this.name
    )
    error_message = "what a caller wires and opens"
  }

  assert {
    condition     = output.wake_rule_arns["this"] == aws_lb_listener_rule.wake["this"].arn && output.status_path == "/.warmkeeper/status" && output.heartbeat_path == "/health" && output.page_url == null
    error_message = "what there is on the listener"
  }

  assert {
    condition     = output.service_rule_arns == { this = var.service_rule_arn } && keys(output.wake_rule_arns) == ["this"] && keys(output.idle_alarm_arns) == ["this"]
    error_message = "the plain inputs are one route"
  }

  assert {
    condition     = output.idle_alarm_arns["this"] == aws_cloudwatch_metric_alarm.idle["this"].arn && output.metric_namespace == "Warmkeeper"
    error_message = "what a caller alarms on"
  }

  assert {
    condition     = keys(output.people_alarm_arns) == ["cold_start", "errors", "failed_wake", "throttles", "tick_silent"]
    error_message = "each alarm for people, by what it watches"
  }
}

run "terraform_tells_the_warmkeeper_by_its_input_alone" {
  assert {
    condition     = aws_lambda_invocation.this.lifecycle_scope == "CRUD" && aws_lambda_invocation.this.triggers == null
    error_message = "a changed trigger would be a delete, which wakes the service"
  }

  assert {
    condition     = keys(jsondecode(aws_lambda_invocation.this.input)) == ["code", "command", "environment", "settings"]
    error_message = "the input is what the warmkeeper reads"
  }
}
