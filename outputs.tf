# ---------------------------------------------------------------------------------------------
# For commands, clients and other configurations
# ---------------------------------------------------------------------------------------------

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command: status, wake, sleep, pin, unpin, beat, doctor, explain, report."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the warmkeeper, to allow a person or a CI job lambda:InvokeFunction on it."
  value       = aws_lambda_function.this.arn
}

output "role_name" {
  description = "Name of the warmkeeper's role."
  value       = aws_iam_role.this.name
}

output "topic_arn" {
  description = "ARN of the SNS topic with the notices and alarms for people, to subscribe a chat or a pager."
  value       = aws_sns_topic.this.arn
}

output "status_path" {
  description = "Path of the status, `GET`, on the service's own hosts. Null on the alarm path, and with queues alone."
  value       = local.listener_path ? "${var.control_path}/status" : null
}

output "health_path" {
  description = "Path for monitors, `GET`, on the service's own hosts: 200 also while the service sleeps, 503 after a failed wake. Null on the alarm path, and with queues alone."
  value       = local.listener_path ? "${var.control_path}/health" : null
}

output "page_url" {
  description = "URL of the page that shows the phase and wakes the service at a click. Null without `public_url`."
  value       = var.public_url == "" ? null : "${var.public_url}${var.control_path}/"
}

output "heartbeat_path" {
  description = "Path of the heartbeat, `POST`, on the service's own hosts. Null if heartbeats are off, on the alarm path, and with queues alone."
  value       = local.heartbeat_wanted ? var.heartbeat.path : null
}

output "wake_rule_arns" {
  description = "ARNs of the listener rules whose priority the warmkeeper changes, by route; the route of a plain call is `this`, and those of `services` are `SERVICE/ROUTE`. Empty on the alarm path, and with queues alone."
  value       = local.wake_rule_arns
}

output "service_rule_arns" {
  description = "ARNs of the service rules, by route: those given, and those that `create_service_rule` makes. Empty on the alarm path, and with queues alone."
  value       = local.service_rule_arns
}

# ---------------------------------------------------------------------------------------------
# For people
# ---------------------------------------------------------------------------------------------

output "dashboard_url" {
  description = "URL of the dashboard in the console. Null unless `dashboard_enabled`."
  value       = var.dashboard_enabled ? local.dashboard_url : null
}

output "log_group_name" {
  description = "Name of the log group with one JSON line per decision."
  value       = aws_cloudwatch_log_group.this.name
}

output "table_name" {
  description = "Name of the table with the memory and the settings."
  value       = aws_dynamodb_table.this.name
}

# ---------------------------------------------------------------------------------------------
# For alarms
# ---------------------------------------------------------------------------------------------

output "idle_alarm_arns" {
  description = "ARNs of the alarms that are in ALARM while nobody uses the service, by target group, queue and name of Service Connect: `this` is the first of `target_group_arns`, and `queue/SERVICE/1` the first queue of a service. Use them to mute other alarms."
  value       = { for key, alarm in aws_cloudwatch_metric_alarm.idle : key => alarm.arn }
}

output "people_alarm_arns" {
  description = "ARNs of the alarms for people, by subject. `tick_silent` goes off with INSUFFICIENT_DATA, the others with ALARM."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.people : name => alarm.arn }
}

output "metric_namespace" {
  description = "Namespace of the warmkeeper's metrics; their only dimension, Name, is the module's `name`."
  value       = local.metric_namespace
}
