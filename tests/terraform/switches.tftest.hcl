# What each switch adds, takes away or changes.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled       = false # the mocked service rule has no conditions, whatever is given
  parked_rule_priority = 40000
}

run "alarm_path_has_no_rules_and_an_alarm_more" {
  variables {
    wake_path         = "alarm"
    service_rule_arn  = null
    rule_priority     = null
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/other/9999999999999999"
  }

  assert {
    condition = 0 == (
      length(aws_lb_listener_rule.fixed) + length(aws_lb_listener_rule.wake)
      + length(aws_lb_target_group.warmkeeper) + length(aws_lb_target_group_attachment.warmkeeper)
    )
    error_message = "no listener is given, so there is nothing on one"
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.wake[0].metric_name == "HTTPCode_ELB_503_Count"
      && aws_cloudwatch_metric_alarm.wake[0].treat_missing_data == "notBreaching"
      && aws_cloudwatch_metric_alarm.wake[0].dimensions == tomap({ LoadBalancer = "app/other/9999999999999999" })
      && aws_cloudwatch_metric_alarm.wake[0].alarm_actions == toset([aws_lambda_function.this.arn])
    )
    error_message = "a 503 of the load balancer wakes"
  }

  assert {
    condition     = aws_lambda_permission.this["wake-alarm"].principal == "lambda.alarms.cloudwatch.amazonaws.com" && aws_lambda_permission.this["wake-alarm"].source_arn == aws_cloudwatch_metric_alarm.wake[0].arn
    error_message = "the wake alarm, and it alone, may invoke as such"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle["this"].dimensions.LoadBalancer == "app/other/9999999999999999"
    error_message = "the load balancer is the one given"
  }

  assert {
    condition = {
      for key, value in aws_lambda_function.this.environment[0].variables : key => value
      if contains(["ROUTES", "WAKE_TARGET_GROUP_ARN", "CONTROL_TARGET_GROUP_ARN", "HEARTBEAT_PATH", "WAKE_ALARM_ARN"], key)
      } == {
      ROUTES                   = jsonencode({ rules = "", routes = {} })
      WAKE_TARGET_GROUP_ARN    = ""
      CONTROL_TARGET_GROUP_ARN = ""
      HEARTBEAT_PATH           = ""
      WAKE_ALARM_ARN           = "web-wake"
    }
    error_message = "the function is told of no rules"
  }

  assert {
    condition     = length(setintersection(["SeeRules", "MoveWakeRule"], data.aws_iam_policy_document.this.statement[*].sid)) == 0
    error_message = "no right to rules that are not there"
  }

  assert {
    condition = one([
      for statement in data.aws_iam_policy_document.this.statement : statement.resources if statement.sid == "ReadWakeAlarm"
    ]) == toset(["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:web-wake"])
    error_message = "the tick reads the wake alarm, which does not call twice"
  }

  assert {
    condition     = length(output.wake_rule_arns) + length(output.service_rule_arns) == 0 && output.status_path == null && output.heartbeat_path == null
    error_message = "nothing to ask over HTTP"
  }
}

run "listener_path_has_no_wake_alarm" {
  assert {
    condition     = length(data.aws_lb_listener_rule.service) + length(data.aws_lb_listener.service) + length(data.aws_lb_target_group.service) == 0
    error_message = "without checks nothing is looked at, for a caller who may not"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.wake) == 0 && !contains(keys(aws_lambda_permission.this), "wake-alarm")
    error_message = "the listener wakes"
  }
}

run "hosts_are_on_every_rule" {
  variables {
    conditions = { host_header = ["a.example.com", "*.b.example.com"], path_pattern = ["/app/*"] }
  }

  assert {
    condition = alltrue([
      for rule in [aws_lb_listener_rule.fixed["this/control"], aws_lb_listener_rule.fixed["this/heartbeat"], aws_lb_listener_rule.wake["this"]] :
      toset(flatten([for condition in rule.condition : [for host in condition.host_header : tolist(host.values)]]))
      == toset(["a.example.com", "*.b.example.com"])
    ])
    error_message = "no rule of the module takes another host's requests"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.wake["this"].condition : [for pattern in condition.path_pattern : tolist(pattern.values)]]) == ["/app/*"]
    error_message = "the wake rule has the service rule's paths"
  }
}

run "a_host_may_hold_an_underscore" {
  variables {
    conditions = { host_header = ["my_app.example.com"] }
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.wake["this"].condition : [for host in condition.host_header : tolist(host.values)]]) == ["my_app.example.com"]
    error_message = "as a listener rule takes it"
  }
}

run "heartbeat_rule_takes_posts_only" {
  variables {
    heartbeat = { path = "/beat" }
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.fixed["this/heartbeat"].condition : [for method in condition.http_request_method : tolist(method.values)]]) == ["POST"]
    error_message = "a GET of the same path is the application's"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.fixed["this/heartbeat"].condition : [for pattern in condition.path_pattern : tolist(pattern.values)]]) == ["/beat"]
    error_message = "the path is the one given"
  }
}

run "websocket_rule_stands_before_the_wake_rule_and_leads_to_the_service" {
  variables {
    conditions     = { host_header = ["a.example.com"], path_pattern = ["/app/*"] }
    websocket_rule = true
  }

  assert {
    condition = (
      aws_lb_listener_rule.fixed["this/websocket"].priority == 12
      && startswith(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "13/")
      && length(split(" ", jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this)) == 6
    )
    error_message = "it takes the wake rule's number, which goes one further, and the function knows it for its own"
  }

  assert {
    condition     = one(aws_lb_listener_rule.fixed["this/websocket"].action).target_group_arn == one(var.target_group_arns)
    error_message = "it leads where the service rule does"
  }

  assert {
    condition = (
      flatten([for condition in aws_lb_listener_rule.fixed["this/websocket"].condition : [for host in condition.host_header : tolist(host.values)]]) == ["a.example.com"]
      && flatten([for condition in aws_lb_listener_rule.fixed["this/websocket"].condition : [for pattern in condition.path_pattern : tolist(pattern.values)]]) == ["/app/*"]
      && flatten([for condition in aws_lb_listener_rule.fixed["this/websocket"].condition : [for header in condition.http_header : [header.http_header_name, tolist(header.values)]]]) == ["Upgrade", "websocket"]
    )
    error_message = "it takes the service's upgrades and nothing else"
  }
}

run "no_websocket_rule_on_the_alarm_path" {
  variables {
    wake_path         = "alarm"
    service_rule_arn  = null
    rule_priority     = null
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/other/9999999999999999"
    websocket_rule    = true
  }

  assert {
    condition     = !contains(keys(aws_lb_listener_rule.fixed), "this/websocket")
    error_message = "on the alarm path the service's own rule has every upgrade"
  }
}

run "heartbeat_below_the_control_path_needs_no_rule" {
  variables {
    heartbeat  = { path = "/.warmkeeper/heartbeat" }
    conditions = { host_header = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"], path_pattern = ["/"] }
  }

  assert {
    condition     = !contains(keys(aws_lb_listener_rule.fixed), "this/heartbeat") && output.heartbeat_path == "/.warmkeeper/heartbeat"
    error_message = "the control rule has it already, and there is room for a fourth host"
  }

  assert {
    condition     = length(split(" ", jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this)) == 4
    error_message = "the function knows of one rule"
  }
}

run "heartbeat_can_be_off" {
  variables {
    heartbeat = {
      enabled             = false
      token_parameter_arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/web/token"
    }
  }

  assert {
    condition     = !contains(keys(aws_lb_listener_rule.fixed), "this/heartbeat") && aws_lambda_function.this.environment[0].variables.HEARTBEAT_PATH == ""
    error_message = "no rule, and the function knows of no path"
  }

  assert {
    condition     = !contains(data.aws_iam_policy_document.this.statement[*].sid, "ReadHeartbeatToken")
    error_message = "no right to a token that nobody presents"
  }
}

run "heartbeat_token_is_read_and_never_copied" {
  variables {
    heartbeat = { token_parameter_arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/web/token" }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.HEARTBEAT_TOKEN_PARAMETER == "arn:aws:ssm:eu-west-1:123456789012:parameter/web/token"
    error_message = "the function knows where the token is"
  }

  assert {
    condition = one([
      for statement in data.aws_iam_policy_document.this.statement : statement.resources if statement.sid == "ReadHeartbeatToken"
    ]) == toset(["arn:aws:ssm:eu-west-1:123456789012:parameter/web/token"])
    error_message = "and may read this parameter alone"
  }
}

run "own_key_is_used_everywhere_and_only_through_the_services" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
  }

  assert {
    condition = toset([
      aws_sns_topic.this.kms_master_key_id,
      aws_cloudwatch_log_group.this.kms_key_id,
      aws_dynamodb_table.this.server_side_encryption[0].kms_key_arn,
    ]) == toset([var.kms_key_arn])
    error_message = "topic, log and table"
  }

  assert {
    condition = toset(one(one([
      for statement in data.aws_iam_policy_document.this.statement : statement.condition if statement.sid == "UseKey"
      ])).values) == toset([
      "dynamodb.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com", "ssm.eu-west-1.amazonaws.com",
    ])
    error_message = "the role cannot use the key on its own"
  }
}

run "role_and_function_follow_what_the_account_demands" {
  variables {
    role_path                 = "/warmkeeper/"
    role_permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
    lambda_architecture       = "x86_64"
  }

  assert {
    condition     = aws_iam_role.this.path == "/warmkeeper/" && aws_iam_role.this.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "the role has path and boundary"
  }

  assert {
    condition     = aws_lambda_function.this.architectures == tolist(["x86_64"])
    error_message = "the package runs on either"
  }
}

run "emails_are_subscribed" {
  variables {
    notification_emails = ["a@example.com", "b@example.com"]
  }

  assert {
    condition     = { for email, subscription in aws_sns_topic_subscription.email : email => subscription.protocol } == { "a@example.com" = "email", "b@example.com" = "email" }
    error_message = "each of them, by address"
  }
}

run "dashboard_is_made_on_demand" {
  variables {
    dashboard_enabled   = true
    task_price_per_hour = 0.1
    awake_count         = 2
  }

  assert {
    condition     = output.dashboard_url == "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards/dashboard/web-warmkeeper"
    error_message = "the URL opens it"
  }

  # What is in it, and whether CloudWatch takes it: demo/tests/test_dashboard.py.
  assert {
    condition = anytrue([
      for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets :
      strcontains(lookup(widget.properties, "title", ""), "at 0.2 USD for an hour asleep")
    ])
    error_message = "an hour asleep saves two tasks of 0.10 USD"
  }
}

run "numbers_reach_the_function" {
  variables {
    idle_minutes              = 10
    idle_request_threshold    = 3
    linger_seconds            = 90
    min_awake_minutes         = 20
    awake_count               = 3
    cold_start_target_seconds = 45
    wake_deadline_seconds     = 800
    hold_seconds              = 15
    hold_limit                = 5
    waiting_status_code       = 202
    wake_confirmation         = "browser"
    cors_allowed_origins      = ["https://app.example.com", "*"]
    restore_on_destroy        = false
    transition_notices        = false
    control_path              = "/-/keeper"
    public_url                = "https://staging.example.com:8443"
    memory_size               = 1024
    log_retention_days        = 30
    page                      = { accent = "#0055aa", accent_dark = "#88bbff", texts = { de = { wake = "Wecken" } } }
  }

  assert {
    condition = {
      for key, value in aws_lambda_function.this.environment[0].variables : key => value
      if contains(["IDLE_MINUTES", "LINGER_SECONDS", "MIN_AWAKE_MINUTES", "AWAKE_COUNT", "COLD_START_TARGET_SECONDS", "WAKE_DEADLINE_SECONDS", "HOLD_SECONDS", "HOLD_LIMIT", "WAITING_STATUS_CODE", "WAKE_CONFIRMATION", "CORS_ALLOWED_ORIGINS", "RESTORE_ON_DESTROY", "TRANSITION_NOTICES", "CONTROL_PATH", "PUBLIC_URL"], key)
      } == {
      IDLE_MINUTES              = "10"
      LINGER_SECONDS            = "90"
      MIN_AWAKE_MINUTES         = "20"
      AWAKE_COUNT               = "3"
      COLD_START_TARGET_SECONDS = "45"
      WAKE_DEADLINE_SECONDS     = "800"
      HOLD_SECONDS              = "15"
      HOLD_LIMIT                = "5"
      WAITING_STATUS_CODE       = "202"
      WAKE_CONFIRMATION         = "browser"
      CORS_ALLOWED_ORIGINS      = "https://app.example.com,*"
      RESTORE_ON_DESTROY        = "false"
      TRANSITION_NOTICES        = "false"
      CONTROL_PATH              = "/-/keeper"
      PUBLIC_URL                = "https://staging.example.com:8443"
    }
    error_message = "as text, under the names that the function reads"
  }

  assert {
    condition     = aws_lambda_function.this.timeout == 860 && aws_lambda_function.this.memory_size == 1024
    error_message = "the timeout is the deadline and a minute"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle["this"].evaluation_periods == 10 && aws_cloudwatch_metric_alarm.idle["this"].threshold == 3 && aws_cloudwatch_metric_alarm.people["cold_start"].threshold == 45
    error_message = "the alarms follow"
  }

  assert {
    condition = jsondecode(jsondecode(aws_dynamodb_table_item.settings.item).body.S).page == {
      title         = "web"
      logo_data_uri = null
      html          = null
      texts         = { de = merge(jsondecode(file("lambda/texts.json")).en, { wake = "Wecken" }) }
      colours       = { accent = "#0055aa", on_accent = "#ffffff", accent_dark = "#88bbff", on_accent_dark = "#000000" }
    }
    error_message = "the page is in the settings, with the name for a title"
  }

  assert {
    condition     = output.status_path == "/-/keeper/status" && output.health_path == "/-/keeper/health" && output.page_url == "https://staging.example.com:8443/-/keeper/" && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "the path and the log follow"
  }
}

run "texts_are_whole_languages" {
  variables {
    page = {
      texts = {
        de      = { wake = "Wecken" }
        en      = { by_itself = "It opens here." }
        FR      = { wake = "Debout", retry = null }
        "fr-CA" = { ready = "Prêt, là." }
      }
    }
  }

  assert {
    condition = jsondecode(local.settings).page.texts == {
      de      = merge(local.packaged_texts.en, { by_itself = "It opens here.", wake = "Wecken" })
      en      = merge(local.packaged_texts.en, { by_itself = "It opens here." })
      FR      = merge(local.packaged_texts.fr, { wake = "Debout" })
      "fr-CA" = merge(local.packaged_texts.fr, { wake = "Debout", ready = "Prêt, là." })
    }
    error_message = "own texts over the package's, over the wider language's, over English; null is the package's"
  }
}

run "what_stands_on_an_accent_can_be_read" {
  variables {
    page = { accent = "#4d9200", accent_dark = "#d00000" }
  }

  assert {
    condition     = local.on_accents == { on_accent = "#000000", on_accent_dark = "#ffffff" }
    error_message = "black on a luminance of 0.22 (contrast 5.4, white has 3.9), white on one of 0.13 (5.7 and 3.7)"
  }

  assert {
    condition     = jsonencode([for name in ["accent", "accent_dark"] : format("%.4f", local.accent_luminance[name])]) == jsonencode(["0.2214", "0.1341"])
    error_message = "the relative luminance that WCAG defines"
  }
}

run "tags_are_on_what_can_carry_them" {
  variables {
    tags              = { Team = "web" }
    dashboard_enabled = true
  }

  assert {
    condition = alltrue([
      for tags in concat(
        [
          aws_lambda_function.this.tags, aws_iam_role.this.tags, aws_cloudwatch_log_group.this.tags,
          aws_dynamodb_table.this.tags, aws_sns_topic.this.tags, aws_cloudwatch_metric_alarm.idle["this"].tags,
        ],
        values(aws_cloudwatch_metric_alarm.people)[*].tags, values(aws_cloudwatch_event_rule.this)[*].tags,
        values(aws_lb_listener_rule.fixed)[*].tags, values(aws_lb_listener_rule.wake)[*].tags,
        values(aws_lb_target_group.warmkeeper)[*].tags,
      ) : tags == tomap({ Team = "web" })
    ])
    error_message = "somebody pays by tag"
  }
}

run "longest_names_fit_everything_made_of_them" {
  variables {
    name         = "abcdefghijklmnopqrstuvwx"
    cluster_name = join("", [for _ in range(255) : "c"])
    service_name = join("", [for _ in range(255) : "s"])
  }

  # https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
  # https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
  # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
  assert {
    condition = (
      length(aws_lambda_function.this.description) == 256
      && length(aws_iam_role.this.description) <= 1000
      && max([for rule in aws_cloudwatch_event_rule.this : length(rule.description)]...) == 512
      && max([
        for alarm in concat(
          [aws_cloudwatch_metric_alarm.idle["this"]], aws_cloudwatch_metric_alarm.wake, values(aws_cloudwatch_metric_alarm.people),
        ) : length(alarm.alarm_description)
      ]...) <= 1024
    )
    error_message = "each description is cut to what AWS takes"
  }

  assert {
    condition     = max([for group in aws_lb_target_group.warmkeeper : length(group.name)]...) <= 32
    error_message = "a target group's name has 32 characters"
  }

  assert {
    condition     = length(aws_iam_role.this.name) <= 64 && length(aws_cloudwatch_event_rule.this["ecs-service"].name) <= 64
    error_message = "a role's and an event rule's name have 64"
  }
}

run "in_china_no_arn_and_no_host_is_of_another_partition" {
  variables {
    target_group_arns = ["arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:targetgroup/web/0123456789abcdef"]
    service_rule_arn  = "arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
    kms_key_arn       = "arn:aws-cn:kms:cn-north-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
    dashboard_enabled = true
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-cn", dns_suffix = "amazonaws.com.cn" }
  }

  # The mocks' own ARNs, of what is made, are all of "aws": only those composed here are looked at.
  assert {
    condition = alltrue([
      for arn in concat(
        [local.cluster_arn, local.service_arns["this"], local.routes["this"].listener_arn, local.idle_alarm_arns["this"], local.wake_alarm_arn],
        flatten([
          for statement in data.aws_iam_policy_document.this.statement : tolist(statement.resources)
          if contains(["SeeAndScaleService", "SeeDeployments", "SuspendAutoscaling", "SeeTasks", "ReadIdleAlarm", "UseKey"], statement.sid)
        ]),
        flatten([for statement in data.aws_iam_policy_document.topic.statement : statement.condition[*].values]),
        [aws_lambda_function.this.environment[0].variables.ACCOUNT],
        jsondecode(aws_cloudwatch_event_rule.this["ecs-task"].event_pattern).detail.clusterArn,
        jsondecode(aws_cloudwatch_event_rule.this["ecs-service"].event_pattern).resources,
      ) : startswith(arn, "arn:aws-cn:")
    ])
    error_message = "every ARN that is composed is of the partition of the target group's"
  }

  assert {
    condition = toset(one(one([
      for statement in data.aws_iam_policy_document.this.statement : statement.condition if statement.sid == "UseKey"
    ])).values) == toset(["dynamodb.cn-north-1.amazonaws.com.cn", "sns.cn-north-1.amazonaws.com.cn", "ssm.cn-north-1.amazonaws.com.cn"])
    error_message = "the key is used by way of this partition's services"
  }

  assert {
    condition     = output.dashboard_url == "https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=cn-north-1#dashboards/dashboard/web-warmkeeper"
    error_message = "the console has another host"
  }
}

run "so_it_is_in_gov_cloud" {
  variables {
    target_group_arns = ["arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:targetgroup/web/0123456789abcdef"]
    wake_path         = "alarm"
    service_rule_arn  = null
    rule_priority     = null
    load_balancer_arn = "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:loadbalancer/app/other/9999999999999999"
    dashboard_enabled = true
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-us-gov", dns_suffix = "amazonaws.com" }
  }

  assert {
    condition = alltrue([
      for arn in concat(
        [local.cluster_arn, local.service_arns["this"]],
        [aws_lambda_function.this.environment[0].variables.ACCOUNT],
        flatten([
          for statement in data.aws_iam_policy_document.this.statement : tolist(statement.resources)
          if contains(["SeeTasks", "ReadWakeAlarm"], statement.sid)
        ]),
      ) : startswith(arn, "arn:aws-us-gov:")
    ])
    error_message = "on the alarm path, too"
  }

  assert {
    condition     = startswith(output.dashboard_url, "https://us-gov-west-1.console.amazonaws-us-gov.com/")
    error_message = "the console has another host"
  }
}
