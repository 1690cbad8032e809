# An estate of another team: data sources read the load balancer, listener, target group and service rule,
# and nothing in them changes. The service rule has host conditions, so the module gets the same ones.
#
# The other team's configuration needs a rule for the service; ignore_changes = [desired_count] and
# health_check_grace_period_seconds on the service; a health check interval of 5 s; three free priorities
# directly before the rule; and a fourth far behind it (30000 + the first of the three, unless
# parked_rule_priority is set). docs/guide/configuration.md says which of these `terraform plan` checks.

variable "load_balancer_name" {
  description = "Name of the Application Load Balancer."
  type        = string
}

variable "listener_port" {
  description = "Port of the listener that the service rule is on."
  type        = number
  default     = 443
}

variable "service_rule_priority" {
  description = "Priority of the service rule. The three numbers before it must be free."
  type        = number
}

variable "hosts" {
  description = "Host headers of the service rule, exactly as in that rule."
  type        = list(string)
}

variable "target_group_name" {
  description = "Name of the service's target group."
  type        = string
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service."
  type        = string
}

variable "notification_emails" {
  description = "E-mail addresses that get the notices."
  type        = set(string)
  default     = []
}

data "aws_lb" "this" {
  name = var.load_balancer_name
}

data "aws_lb_listener" "this" {
  load_balancer_arn = data.aws_lb.this.arn
  port              = var.listener_port
}

data "aws_lb_listener_rule" "service" {
  listener_arn = data.aws_lb_listener.this.arn
  priority     = var.service_rule_priority
}

data "aws_lb_target_group" "service" {
  name = var.target_group_name
}

module "scale_to_zero" {
  source = "../../"

  name              = var.service_name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [data.aws_lb_target_group.service.arn]
  service_rule_arn  = data.aws_lb_listener_rule.service.arn
  rule_priority     = var.service_rule_priority - 3

  # The hosts are an input: read from the rule, they would lag one apply behind a change.
  conditions = { host_header = var.hosts }

  notification_emails = var.notification_emails
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "status_path" {
  description = "Path of the status, on the service's own hosts."
  value       = module.scale_to_zero.status_path
}
