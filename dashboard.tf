# The dashboard: does it sleep, how fast does it wake, does the warmkeeper do well.

locals {
  dashboard_name = "${var.name}-warmkeeper"

  console_hosts = {
    aws          = "console.aws.amazon.com"
    "aws-cn"     = "console.amazonaws.cn"
    "aws-us-gov" = "console.amazonaws-us-gov.com"
  }
  console_host  = lookup(local.console_hosts, local.partition, "console.aws.amazon.com")
  dashboard_url = "https://${local.region}.${local.console_host}/cloudwatch/home?region=${local.region}#dashboards/dashboard/${local.dashboard_name}"

  # A graph each, two in a row: title, statistic, and its metrics as [namespace, name, dimension, value...].
  dashboard_graphs = [
    {
      title     = "Requests served by the service, by minute"
      statistic = "Sum"
      metrics = [
        ["AWS/ApplicationELB", "RequestCount", "TargetGroup", local.target_group_dimension, "LoadBalancer", local.load_balancer_dimension],
      ]
    },
    {
      title     = "Live targets (none: asleep)"
      statistic = "Maximum"
      metrics = [
        ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", local.target_group_dimension, "LoadBalancer", local.load_balancer_dimension],
      ]
    },
    {
      title     = "Cold start in seconds (aim: ${var.cold_start_target_seconds})"
      statistic = "Maximum"
      metrics = [
        [local.metric_namespace, "ColdStartSeconds", "Name", var.name],
      ]
    },
    {
      title     = "Wakes, heartbeats and refusals"
      statistic = "Sum"
      metrics = [
        [local.metric_namespace, "Wakes", "Name", var.name],
        [local.metric_namespace, "FailedWakes", "Name", var.name],
        [local.metric_namespace, "Beats", "Name", var.name],
        [local.metric_namespace, "Refused", "Name", var.name],
      ]
    },
    {
      title     = "The warmkeeper: invocations and what went wrong"
      statistic = "Sum"
      metrics = [
        ["AWS/Lambda", "Invocations", "FunctionName", local.function_name],
        ["AWS/Lambda", "Errors", "FunctionName", local.function_name],
        ["AWS/Lambda", "Throttles", "FunctionName", local.function_name],
        [local.metric_namespace, "HandledErrors", "Name", var.name],
      ]
    },
    {
      title     = "The warmkeeper: duration in milliseconds"
      statistic = "p95"
      metrics = [
        ["AWS/Lambda", "Duration", "FunctionName", local.function_name],
      ]
    },
  ]

  dashboard_alarms = concat(
    [
      aws_cloudwatch_metric_alarm.idle.arn,
      aws_cloudwatch_metric_alarm.cold_start.arn,
      aws_cloudwatch_metric_alarm.failed_wake.arn,
      aws_cloudwatch_metric_alarm.handled_errors.arn,
      aws_cloudwatch_metric_alarm.errors.arn,
      aws_cloudwatch_metric_alarm.throttles.arn,
    ],
    aws_cloudwatch_metric_alarm.wake[*].arn,
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard_enabled ? 1 : 0

  dashboard_name = local.dashboard_name

  dashboard_body = jsonencode({
    widgets = concat(
      [
        {
          type       = "alarm"
          x          = 0
          y          = 0
          width      = 24
          height     = 2
          properties = { title = "${var.cluster_name}/${var.service_name}", alarms = local.dashboard_alarms }
        },
      ],
      [
        for position, graph in local.dashboard_graphs : {
          type   = "metric"
          x      = 12 * (position % 2)
          y      = 2 + 6 * floor(position / 2)
          width  = 12
          height = 6
          properties = {
            title   = graph.title
            view    = "timeSeries"
            region  = local.region
            period  = 60
            stat    = graph.statistic
            metrics = graph.metrics
          }
        }
      ],
      [
        {
          type   = "log"
          x      = 0
          y      = 20
          width  = 24
          height = 8
          properties = {
            title  = "Decisions"
            view   = "table"
            region = local.region
            query = join(" | ", [
              "SOURCE '${aws_cloudwatch_log_group.this.name}'",
              "fields @timestamp, @message",
              "filter ispresent(signal)",
              "sort @timestamp desc",
              "limit 100",
            ])
          }
        },
      ],
    )
  })
}
