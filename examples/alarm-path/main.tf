# For a listener that nobody may change: a CloudWatch alarm on the 503s of the sleeping service wakes it
# after one to three minutes. Every request until then gets 503, and 503s of other services on the
# same load balancer wake this one too. Other limitations: docs/guide/configuration.md, "Without touching
# the listener".

variable "load_balancer_name" {
  description = "Name of the Application Load Balancer."
  type        = string
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
  description = "Name of the ECS service. If Terraform manages it, set ignore_changes = [desired_count] there."
  type        = string
}

data "aws_lb" "this" {
  name = var.load_balancer_name
}

data "aws_lb_target_group" "web" {
  name = var.target_group_name
}

module "scale_to_zero" {
  source = "../../"

  name              = var.service_name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [data.aws_lb_target_group.web.arn]
  wake_path         = "alarm"
  load_balancer_arn = data.aws_lb.this.arn

  # A client cannot wait for this wake, and every 503 may cause one. A longer idle time means fewer wakes.
  idle_minutes = 30
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}
