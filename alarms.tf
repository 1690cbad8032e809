# The alarms. The first two speak to the warmkeeper, the others to people, through the topic: they
# watch what the warmkeeper cannot tell by itself. Everything else is a notice that it publishes.
# Each costs about 0.10 USD a month.

# ---------------------------------------------------------------------------------------------
# Nobody comes: consider falling asleep
# ---------------------------------------------------------------------------------------------

# No traffic gives no data, so what is missing counts as idle. No FILL: it would turn a minute that
# is only late into a zero, and the alarm looks further back for exactly that case.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
resource "aws_cloudwatch_metric_alarm" "idle" {
  alarm_name          = local.idle_alarm
  alarm_description   = "${var.idle_minutes} minutes with fewer than ${var.idle_request_threshold} requests each to ${local.service_label}. Usual: the warmkeeper then considers putting it to sleep."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "RequestCount"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = var.idle_minutes
  datapoints_to_alarm = var.idle_minutes
  comparison_operator = "LessThanThreshold"
  threshold           = var.idle_request_threshold
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_lambda_function.this.arn]

  dimensions = {
    LoadBalancer = local.load_balancer_dimension
    TargetGroup  = local.target_group_dimension
  }

  tags = var.tags
}

# ---------------------------------------------------------------------------------------------
# Somebody came in vain: wake up (the alarm path)
# ---------------------------------------------------------------------------------------------

# With no target there is no RequestCount. These 503s are counted by load balancer only, so that
# another service's on the same one wake this one too.
resource "aws_cloudwatch_metric_alarm" "wake" {
  count = local.listener_path ? 0 : 1

  alarm_name          = local.wake_alarm
  alarm_description   = "The load balancer answered 503. Where ${local.service_label} is asleep, the warmkeeper wakes it."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_ELB_503_Count"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_lambda_function.this.arn]

  dimensions = {
    LoadBalancer = local.load_balancer_dimension
  }

  tags = var.tags
}

# ---------------------------------------------------------------------------------------------
# Somebody is needed
# ---------------------------------------------------------------------------------------------

locals {
  # CloudWatch does not promise every minute of EventBridge's; ten of them in a row are not mislaid.
  silent_minutes = 10

  # One datum above 0 is an alarm, and no data is none.
  people_alarm_defaults = {
    statistic           = "Sum"
    evaluation_periods  = 1
    comparison_operator = "GreaterThanThreshold"
    threshold           = 0
    treat_missing_data  = "notBreaching"
  }

  people_alarms = {
    # A single wake is an event: its end, a minute without data, is no news.
    cold_start = {
      description = "A cold start of ${local.service_label} took longer than the ${var.cold_start_target_seconds} s aimed at. The warmkeeper's log tells it stage by stage."
      namespace   = local.metric_namespace
      metric_name = "ColdStartSeconds"
      statistic   = "Maximum"
      threshold   = var.cold_start_target_seconds
      dimensions  = { Name = var.name }
    }
    failed_wake = {
      description = "${local.service_label} did not wake within ${var.wake_deadline_seconds} s. The notice on this topic has ECS's reason."
      namespace   = local.metric_namespace
      metric_name = "FailedWakes"
      dimensions  = { Name = var.name }
    }
    errors = {
      description = "The warmkeeper ${local.function_name} fails. Its log has the trace. The service stays as it is."
      namespace   = "AWS/Lambda"
      metric_name = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.this.function_name }
    }
    throttles = {
      description = "The warmkeeper ${local.function_name} is throttled, and waiting clients get 502. The account's concurrency is used up."
      namespace   = "AWS/Lambda"
      metric_name = "Throttles"
      dimensions  = { FunctionName = aws_lambda_function.this.function_name }
    }
    # The tick is what nothing is lost on, and EventBridge counts only what it does: a rule that is
    # disabled or gone has no data. So silence itself is told, as INSUFFICIENT_DATA, the state in which
    # an alarm begins. With missing data breaching, each new module would be in ALARM until its first
    # ticks have come through to CloudWatch. The alarm's own action is for a zero, should there be one.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
    tick_silent = {
      description         = "The warmkeeper ${local.function_name} has not been ticked for ${local.silent_minutes} minutes (INSUFFICIENT_DATA is that, too). It still wakes ${local.service_label}, and puts it to sleep no more."
      namespace           = "AWS/Events"
      metric_name         = "Invocations"
      evaluation_periods  = local.silent_minutes
      comparison_operator = "LessThanThreshold"
      threshold           = 1
      treat_missing_data  = "missing"
      dimensions          = { RuleName = aws_cloudwatch_event_rule.this["tick"].name }
    }
  }
  whole_people_alarms = { for name, alarm in local.people_alarms : name => merge(local.people_alarm_defaults, alarm) }
}

# No ok_actions: a new alarm goes from INSUFFICIENT_DATA to OK, and every apply would send mail.
resource "aws_cloudwatch_metric_alarm" "people" {
  for_each = local.whole_people_alarms

  alarm_name                = "${var.name}-${replace(each.key, "_", "-")}"
  alarm_description         = each.value.description
  namespace                 = each.value.namespace
  metric_name               = each.value.metric_name
  dimensions                = each.value.dimensions
  statistic                 = each.value.statistic
  period                    = 60
  evaluation_periods        = each.value.evaluation_periods
  comparison_operator       = each.value.comparison_operator
  threshold                 = each.value.threshold
  treat_missing_data        = each.value.treat_missing_data
  alarm_actions             = [aws_sns_topic.this.arn]
  insufficient_data_actions = each.value.treat_missing_data == "missing" ? [aws_sns_topic.this.arn] : null
  tags                      = var.tags
}
