# The idle alarms and the wake alarm invoke the warmkeeper. The others notify people through the topic about
# faults that the warmkeeper cannot report by itself; it publishes everything else as notices. Each alarm costs about
# 0.10 USD a month.

# ---------------------------------------------------------------------------------------------
# No requests and no messages: check whether to fall asleep
# ---------------------------------------------------------------------------------------------

locals {
  requests_missing = "fewer than ${var.idle_request_threshold} requests each to ${local.service_label}"

  # By key, one for each target group, each name of Service Connect and each queue.
  idle_metrics = merge(
    {
      for key, dimension in local.target_group_dimensions : key => {
        namespace   = "AWS/ApplicationELB"
        metric_name = "RequestCount"
        threshold   = var.idle_request_threshold
        missing     = local.requests_missing
        dimensions  = { LoadBalancer = local.load_balancer_dimension, TargetGroup = dimension }
      }
    },
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    {
      for key, queue in local.queues : key => {
        namespace   = "AWS/SQS"
        metric_name = "NumberOfMessagesReceived"
        threshold   = 1
        missing     = "no message received from ${queue.name} by ${local.service_label}"
        dimensions  = { QueueName = queue.name }
      }
    },
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
    [for member, service in local.services : {
      for name in service.service_connect[*].discovery_name : local.environment_given ? "connect/${member}/${name}" : "connect/${name}" => {
        namespace   = "AWS/ECS"
        metric_name = "RequestCount"
        threshold   = var.idle_request_threshold
        missing     = local.requests_missing
        dimensions  = { ClusterName = var.cluster_name, ServiceName = service.service_name, DiscoveryName = name }
      }
    }]...
  )

  # The first alarm of the plain inputs and of routes has a plain name. An environment's alarms have none: which
  # of them is the first changes with the services, and two alarms cannot exchange a name.
  plain_alarm   = local.environment_given ? "" : length(var.target_group_arns) > 0 ? "this" : "${local.first_route}/1"
  idle_suffixes = { for key in keys(local.idle_metrics) : key => key == local.plain_alarm ? "" : "-${replace(key, "/", "-")}" }
  idle_alarms = {
    for key, metric in local.idle_metrics : key => merge(metric, {
      name   = "${var.name}-idle${local.idle_suffixes[key]}"
      suffix = local.idle_suffixes[key]
    })
  }
}

# No traffic produces no data, so missing data counts as idle. The alarm does not use FILL, which would turn
# a late data point into a zero; without it, the alarm evaluates older points until the late one arrives.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
resource "aws_cloudwatch_metric_alarm" "idle" {
  for_each = local.idle_alarms

  alarm_name          = each.value.name
  alarm_description   = "${var.idle_minutes} minutes with ${each.value.missing}. This is no fault: the warmkeeper then checks whether to put the service to sleep."
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = var.idle_minutes
  datapoints_to_alarm = var.idle_minutes
  comparison_operator = "LessThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_lambda_function.this.arn]
  dimensions          = each.value.dimensions
  tags                = var.tags
}

# The address of 0.4.0.
moved {
  from = aws_cloudwatch_metric_alarm.idle
  to   = aws_cloudwatch_metric_alarm.idle["this"]
}

# ---------------------------------------------------------------------------------------------
# 503s of a sleeping service: wake it (the alarm path)
# ---------------------------------------------------------------------------------------------

# Without a target there is no RequestCount. The metric of 503s is per load balancer, so 503s of other
# services wake this service too.
resource "aws_cloudwatch_metric_alarm" "wake" {
  count = local.alarm_path ? 1 : 0

  alarm_name          = local.wake_alarm
  alarm_description   = "The load balancer answered 503. If ${local.service_label} is asleep, the warmkeeper wakes it."
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
# Faults for people
# ---------------------------------------------------------------------------------------------

locals {
  # CloudWatch may miss single minutes of EventBridge's metrics, but not ten in a row.
  silent_minutes = 10

  # One data point above 0 is an alarm; missing data is not.
  people_alarm_defaults = {
    statistic           = "Sum"
    evaluation_periods  = 1
    comparison_operator = "GreaterThanThreshold"
    threshold           = 0
    treat_missing_data  = "notBreaching"
  }

  people_alarms = {
    # A single wake is an event, so the following minute without data is not reported as a recovery.
    cold_start = {
      description = "A cold start of ${local.service_label} took longer than the target of ${var.cold_start_target_seconds} s${length(var.databases) > 0 ? ", without the starts of databases" : ""}. The warmkeeper's log has the duration of each stage."
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
      description = "The warmkeeper ${local.function_name} failed. Its log has the trace. The service stays as it is."
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
    # A disabled or deleted rule has no data, because EventBridge counts only invocations. So the alarm
    # notifies people in the state INSUFFICIENT_DATA, in which every alarm begins. If missing data were
    # breaching, each new module would be in ALARM until CloudWatch has its first ticks. The action for
    # ALARM is for the case that CloudWatch reports a zero.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
    tick_silent = {
      description         = "The warmkeeper ${local.function_name} got no tick for ${local.silent_minutes} minutes (INSUFFICIENT_DATA means the same). Requests still wake ${local.service_label}, but it does not go to sleep."
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

# There are no ok_actions: a new alarm changes from INSUFFICIENT_DATA to OK, and each new module would send
# mail.
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
