# The dashboard: is it asleep, why did it wake, where did the seconds go, what does it save.
#
# What the warmkeeper decides is in its log and in no metric: the phase with its reason, the causes and
# the stages are log widgets. The timeline is drawn from metrics that there are asleep, too.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html

locals {
  dashboard_name = "${var.name}-warmkeeper"

  console_hosts = {
    aws          = "console.aws.amazon.com"
    "aws-cn"     = "console.amazonaws.cn"
    "aws-us-gov" = "console.amazonaws-us-gov.com"
  }
  console_host  = lookup(local.console_hosts, local.partition, "console.aws.amazon.com")
  dashboard_url = "https://${local.region}.${local.console_host}/cloudwatch/home?region=${local.region}#dashboards/dashboard/${local.dashboard_name}"

  console    = "https://${local.region}.${local.console_host}"
  group_name = aws_cloudwatch_log_group.this.name
  source     = "SOURCE '${local.group_name}'"

  # What an hour asleep does not cost.
  saved_per_hour = var.task_price_per_hour * var.awake_count * length(local.stopped_services)

  # The dimensions of each target group. Two lists may name the same group.
  balanced = [
    for dimension in distinct(values(local.target_group_dimensions)) :
    ["TargetGroup", dimension, "LoadBalancer", local.load_balancer_dimension]
  ]

  # What shows that something runs: the healthy targets, or where there is no target group, the tasks, each of
  # which reports its CPU once a minute.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_utilization.html
  live_metrics = length(local.balanced) > 0 ? [for dimensions in local.balanced : concat(["AWS/ApplicationELB", "HealthyHostCount"], dimensions)] : [
    for service in values(local.stopped_services) :
    ["AWS/ECS", "CPUUtilization", "ServiceName", service.service_name, "ClusterName", var.cluster_name]
  ]
  live_stat = length(local.balanced) > 0 ? "Maximum" : "SampleCount"
  live_what = length(local.balanced) > 0 ? "target" : "task"
  live_ids  = [for index in range(length(local.live_metrics)) : index == 0 ? "live" : "live${index}"]

  # The tick is heard every minute, in every phase; a target group without targets has no data. So the
  # function's invocations, times 0, are the minutes in which nothing was live: MAX of several metrics
  # passes over those without data. Where the tick is silent, nothing is said.
  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
  dashboard_up = concat(
    [["AWS/Lambda", "Invocations", "FunctionName", local.function_name, { id = "heard", stat = "Sum", visible = false }]],
    [
      for index, metric in local.live_metrics :
      concat(metric, [{ id = local.live_ids[index], stat = local.live_stat, visible = false }])
    ],
  )
  expression_up = "IF(MAX([heard * 0, ${join(", ", local.live_ids)}]) > 0, 1, 0)"

  colors = {
    awake  = "#e08a1e"
    waking = "#c2185b"
    asleep = "#8fa8c4"
    quiet  = "#3b4a5a"
    beats  = "#2a9d8f"
    bad    = "#d13212"
  }

  # A target group's dimension is targetgroup/NAME/ID.
  served_labels = [
    for dimensions in local.balanced :
    length(local.balanced) == 1 ? "requests served by the app" : "requests served by ${split("/", dimensions[1])[1]}"
  ]
  served_colors = [local.colors.quiet, local.colors.asleep, "#5b7a9d", "#7d8894", "#c3cad2"]

  # A row each, from the top: its height, and its widgets from the left.
  dashboard_rows = [
    {
      height = 3
      widgets = [
        {
          width = 9
          type  = "log"
          properties = {
            title = "Now: the last look"
            view  = "table"
            query = join(" | ", [
              local.source,
              "filter ispresent(after)",
              "fields @timestamp, after as phase, reason",
              "sort @timestamp desc",
              "limit 1",
            ])
          }
        },
        {
          width = 8
          type  = "log"
          properties = {
            title = "Since when, and why"
            view  = "table"
            query = join(" | ", [
              local.source,
              "filter ispresent(before) and ispresent(after) and before != after",
              "fields @timestamp, reason",
              "sort @timestamp desc",
              "limit 1",
            ])
          }
        },
        {
          width = 7
          type  = "metric"
          properties = {
            title  = "Saved, at ${local.saved_per_hour} USD for an hour asleep"
            view   = "singleValue"
            period = 60
            metrics = concat(local.dashboard_up, [
              [{ expression = local.expression_up, id = "up", visible = false }],
              [{ expression = "1 - up", id = "asleep", visible = false }],
              [{ expression = "TIME_SERIES(SUM(asleep)) * PERIOD(heard) / 3600", id = "hours", label = "hours asleep", color = local.colors.quiet }],
              [{ expression = "hours * ${local.saved_per_hour}", id = "saved", label = "USD saved", color = local.colors.beats }],
              [{ expression = "TIME_SERIES(AVG(asleep)) * 730 * ${local.saved_per_hour}", id = "month", label = "USD a month", color = local.colors.beats }],
            ])
          }
        },
      ]
    },
    {
      height = 4
      widgets = [
        {
          width = 24
          type  = "metric"
          properties = {
            title   = "Awake or asleep, by minute"
            view    = "timeSeries"
            stacked = true
            period  = 60
            yAxis   = { left = { min = 0, max = 1, showUnits = false } }
            metrics = concat(local.dashboard_up, [
              [local.metric_namespace, "WaitingAnswers", "Name", var.name, { id = "waiting", stat = "Sum", visible = false }],
              [{ expression = local.expression_up, id = "up", label = "awake: a live ${local.live_what}", color = local.colors.awake }],
              [{ expression = "IF(MAX([heard * 0, waiting]) > 0, 1 - up, 0)", id = "waking", label = "waking: somebody waits", color = local.colors.waking }],
              [{ expression = "1 - up - waking", id = "asleep", label = "asleep: no ${local.live_what}", color = local.colors.asleep }],
            ])
          }
        },
      ]
    },
    {
      height = 5
      widgets = [
        {
          width = 24
          type  = "metric"
          properties = merge(
            {
              title  = "What kept it awake, by minute"
              view   = "timeSeries"
              period = 60
              stat   = "Sum"
              yAxis  = { left = { min = 0, showUnits = false } }
              metrics = concat(
                [
                  for index, dimensions in local.balanced :
                  concat(["AWS/ApplicationELB", "RequestCount"], dimensions, [{ label = local.served_labels[index], color = element(local.served_colors, index) }])
                ],
                [
                  for index, queue in values(local.queues) :
                  ["AWS/SQS", "NumberOfMessagesReceived", "QueueName", queue.name, { label = "messages of ${queue.name}", color = element(local.served_colors, length(local.balanced) + index) }]
                ],
                [
                  [local.metric_namespace, "Beats", "Name", var.name, { label = "active heartbeats", color = local.colors.beats }],
                  [local.metric_namespace, "WaitingAnswers", "Name", var.name, { label = "answers to those who wait", color = local.colors.waking }],
                ],
              )
            },
            # CloudWatch may refuse an empty list.
            var.idle_request_threshold > 1 ? {
              annotations = {
                horizontal = [{ value = var.idle_request_threshold, label = "idle with fewer than ${var.idle_request_threshold}", color = local.colors.quiet }]
              }
            } : {},
          )
        },
      ]
    },
    {
      height = 6
      widgets = [
        {
          width = 17
          type  = "log"
          properties = {
            title = "Why it woke: each wake, after so many minutes of sleep"
            view  = "table"
            query = join(" | ", [
              local.source,
              "filter ispresent(wake.seconds) or (ispresent(before) and ispresent(after) and before = \"waking\" and after = \"asleep\")",
              "fields @timestamp, wake.cause as cause, wake.seconds as seconds, wake.asleep_minutes as slept_minutes, reason as failed",
              "sort @timestamp desc",
              "limit 50",
            ])
          }
        },
        {
          width = 7
          type  = "log"
          properties = {
            title = "Wakes by cause"
            view  = "bar"
            query = join(" | ", [
              local.source,
              "filter ispresent(wake.seconds)",
              "stats count(*) as wakes by wake.cause",
              "sort wakes desc",
            ])
          }
        },
      ]
    },
    {
      height = 6
      widgets = [
        {
          width = 12
          type  = "metric"
          properties = {
            title  = "Cold starts in seconds, and wakes that failed"
            view   = "timeSeries"
            period = 60
            yAxis  = { left = { min = 0, showUnits = false }, right = { min = 0, max = 12, showUnits = false } }
            metrics = [
              [local.metric_namespace, "ColdStartSeconds", "Name", var.name, { label = "cold start, seconds", stat = "Maximum", color = local.colors.awake }],
              [local.metric_namespace, "FailedWakes", "Name", var.name, { label = "failed wakes (right)", stat = "Sum", color = local.colors.bad, yAxis = "right" }],
            ]
            annotations = {
              horizontal = [{ value = var.cold_start_target_seconds, label = "target: ${var.cold_start_target_seconds} s", color = local.colors.quiet }]
            }
          }
        },
        {
          width = 12
          type  = "log"
          properties = {
            title   = "Where the seconds went, wake by wake, until the rule was down"
            view    = "bar"
            stacked = true
            query = join(" | ", [
              local.source,
              "filter ispresent(wake.seconds)",
              "stats ${join(", ", [for stage in local.stages : "max(wake.stages.${stage}) as ${stage}"])} by @timestamp",
              "sort @timestamp desc",
              "limit 10",
            ])
          }
        },
      ]
    },
    {
      height = 5
      widgets = [
        {
          width = 8
          type  = "log"
          properties = {
            title = "Requests that did not wake it, by class"
            view  = "bar"
            query = join(" | ", [
              local.source,
              "filter ispresent(ignored)",
              "stats count(*) as requests by ignored",
              "sort requests desc",
            ])
          }
        },
        {
          width = 8
          type  = "metric"
          properties = {
            title   = "Each sleep in minutes, at the wake that ended it"
            view    = "timeSeries"
            period  = 60
            stat    = "Sum"
            yAxis   = { left = { min = 0, showUnits = false } }
            metrics = [[local.metric_namespace, "MinutesAsleep", "Name", var.name, { label = "minutes asleep", color = local.colors.asleep }]]
          }
        },
        {
          width = 8
          type  = "metric"
          properties = {
            title  = "The warmkeeper's runs, and what went wrong"
            view   = "timeSeries"
            period = 60
            stat   = "Sum"
            yAxis  = { left = { min = 0, showUnits = false } }
            metrics = [
              ["AWS/Lambda", "Invocations", "FunctionName", local.function_name, { label = "runs", color = local.colors.asleep }],
              ["AWS/Lambda", "Errors", "FunctionName", local.function_name, { label = "errors", color = local.colors.bad }],
              ["AWS/Lambda", "Throttles", "FunctionName", local.function_name, { label = "throttles", color = local.colors.waking }],
              [local.metric_namespace, "HandledErrors", "Name", var.name, { label = "handled errors", color = local.colors.awake }],
              [local.metric_namespace, "Refused", "Name", var.name, { label = "refused", color = local.colors.quiet }],
            ]
          }
        },
      ]
    },
    {
      height = 5
      widgets = [
        {
          width = 8
          type  = "alarm"
          properties = {
            title  = "Alarms (idle is in ALARM while nobody comes)"
            sortBy = "stateUpdatedTimestamp"
            alarms = local.dashboard_alarms
          }
        },
        {
          width = 8
          type  = "metric"
          properties = {
            title  = "How long it runs, in milliseconds"
            view   = "timeSeries"
            period = 60
            yAxis  = { left = { min = 0, showUnits = false } }
            metrics = [
              ["AWS/Lambda", "Duration", "FunctionName", local.function_name, { label = "slowest (it holds requests)", stat = "Maximum", color = local.colors.asleep }],
              ["AWS/Lambda", "Duration", "FunctionName", local.function_name, { label = "average", stat = "Average", color = local.colors.quiet }],
            ]
          }
        },
        {
          width = 8
          type  = "text"
          properties = {
            markdown = <<-EOT
              **${local.service_label}**${length(local.database_names) == 0 ? "" : ", with the databases ${join(", ", values(local.database_names))}"}, put to sleep and woken by [${local.function_name}](${local.console}/lambda/home?region=${local.region}#/functions/${local.function_name}): [log](${local.console}/cloudwatch/home?region=${local.region}#logsV2:log-groups/log-group/${replace(local.group_name, "/", "$252F")}) `${local.group_name}`, [topic](${local.console}/sns/v3/home?region=${local.region}#/topic/${aws_sns_topic.this.arn}) `${aws_sns_topic.this.name}`, [saved queries](${local.console}/cloudwatch/home?region=${local.region}#logsV2:logs-insights) `${local.function_name}/`.
              ${local.schedule_text}

              ```
              aws lambda invoke --function-name ${local.function_name} --cli-binary-format raw-in-base64-out --payload '{"command": "status"}' /dev/stdout
              ```

              Or `explain` (why it is as it is), `report` (its last wakes, stage by stage), `wake`, `sleep`, `pin`, `unpin`, `doctor`.
            EOT
          }
        },
      ]
    },
  ]

  dashboard_alarms = concat(
    values(aws_cloudwatch_metric_alarm.idle)[*].arn,
    values(aws_cloudwatch_metric_alarm.people)[*].arn,
    aws_cloudwatch_metric_alarm.wake[*].arn,
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.dashboard_enabled ? 1 : 0

  dashboard_name = local.dashboard_name

  # A minute is a minute whatever the time shown: a longer period would make whole hours awake of it.
  dashboard_body = jsonencode({
    start          = "-PT24H"
    periodOverride = "inherit"
    widgets = flatten([
      for row, content in local.dashboard_rows : [
        for column, widget in content.widgets : {
          type   = widget.type
          x      = sum(concat([0], slice(content.widgets[*].width, 0, column)))
          y      = sum(concat([0], slice(local.dashboard_rows[*].height, 0, row)))
          width  = widget.width
          height = content.height
          properties = merge(
            widget.properties,
            contains(["metric", "log"], widget.type) ? { region = local.region } : {},
          )
        }
      ]
    ])
  })
}
