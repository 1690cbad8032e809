# A service that the listener's default action serves, as the wizard of the ECS console and CDK's
# ApplicationLoadBalancedFargateService make it. No rule can stand behind a default action, so the module
# makes a service rule that matches every request. The default action stays as it is, and serves the
# service again after a destroy.
#
# The listener must have no rule with a higher number than this one, because such a rule would get no
# requests any more. What the service and the target group need: ../existing-estate.

variable "load_balancer_name" {
  description = "Name of the Application Load Balancer."
  type        = string
}

variable "listener_port" {
  description = "Port of the listener whose default action forwards to the service."
  type        = number
  default     = 443
}

variable "target_group_name" {
  description = "Name of the service's target group, to which the default action forwards."
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

variable "rule_priority" {
  description = "The first of four free rule priorities, greater than all numbers in use on the listener."
  type        = number
  default     = 15000
}

data "aws_lb" "this" {
  name = var.load_balancer_name
}

data "aws_lb_listener" "this" {
  load_balancer_arn = data.aws_lb.this.arn
  port              = var.listener_port
}

data "aws_lb_target_group" "service" {
  name = var.target_group_name
}

module "scale_to_zero" {
  source = "../../"

  name                = var.service_name
  cluster_name        = var.cluster_name
  service_name        = var.service_name
  target_group_arns   = [data.aws_lb_target_group.service.arn]
  create_service_rule = true
  listener_arn        = data.aws_lb_listener.this.arn
  rule_priority       = var.rule_priority
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "status_path" {
  description = "Path of the status, on the service's own hosts."
  value       = module.scale_to_zero.status_path
}
