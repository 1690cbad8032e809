output "url" {
  description = "Where the sample application is."
  value       = "http://${aws_lb.this.dns_name}"
}

output "status_url" {
  description = "URL of the status. Null on the alarm path."
  value       = module.scale_to_zero.status_path == null ? null : "http://${aws_lb.this.dns_name}${module.scale_to_zero.status_path}"
}

output "heartbeat_url" {
  description = "URL of the heartbeat, for a proxy. Null on the alarm path."
  value       = module.scale_to_zero.heartbeat_path == null ? null : "http://${aws_lb.this.dns_name}${module.scale_to_zero.heartbeat_path}"
}

output "dashboard_url" {
  description = "The dashboard in the console. Null unless it is enabled."
  value       = module.scale_to_zero.dashboard_url
}

output "function_name" {
  description = "Name of the warmkeeper, to invoke with a command."
  value       = module.scale_to_zero.function_name
}

output "load_balancer_name" {
  description = "Name of the load balancer."
  value       = aws_lb.this.name
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.app.name
}

output "target_group_arn" {
  description = "ARN of the service's target group."
  value       = aws_lb_target_group.app.arn
}

output "listener_arn" {
  description = "ARN of the listener."
  value       = aws_lb_listener.http.arn
}

output "service_rule_arn" {
  description = "ARN of the service's own rule."
  value       = aws_lb_listener_rule.app.arn
}

output "wake_rule_arn" {
  description = "ARN of the wake rule. Null on the alarm path."
  value       = lookup(module.scale_to_zero.wake_rule_arns, "this", null)
}

output "idle_alarm_arn" {
  description = "ARN of the idle alarm."
  value       = module.scale_to_zero.idle_alarm_arns["this"]
}

output "topic_arn" {
  description = "ARN of the topic with the notices."
  value       = module.scale_to_zero.topic_arn
}

output "table_name" {
  description = "Name of the table with the memory."
  value       = module.scale_to_zero.table_name
}

output "log_group_name" {
  description = "Name of the warmkeeper's log group."
  value       = module.scale_to_zero.log_group_name
}
