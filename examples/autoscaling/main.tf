# A service with Application Auto Scaling and a minimum of 1, as terraform-aws-modules/ecs makes it by
# default. The module suspends the scaling while the service is drowsy or asleep, and restores it after the
# wake. So the target below has no suspended_state: with it, a plan would undo the suspension of a sleeping
# service.
#
# Load balancer, target group, service rule and service exist; what they need: ../minimal. If Terraform
# manages the service, it also needs ignore_changes = [desired_count].

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service."
  type        = string
}

variable "target_group_arn" {
  description = "ARN of the service's target group."
  type        = string
}

variable "service_rule_arn" {
  description = "ARN of the listener rule that forwards every host and path to that target group."
  type        = string
}

variable "rule_priority" {
  description = "The first of three free rule priorities directly before the service rule."
  type        = number
}

variable "max_capacity" {
  description = "Greatest number of tasks."
  type        = number
  default     = 4
}

resource "aws_appautoscaling_target" "service" {
  service_namespace  = "ecs"
  resource_id        = "service/${var.cluster_name}/${var.service_name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = 1
  max_capacity       = var.max_capacity
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.service_name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service.service_namespace
  resource_id        = aws_appautoscaling_target.service.resource_id
  scalable_dimension = aws_appautoscaling_target.service.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

module "scale_to_zero" {
  source = "../../"

  name              = var.service_name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [var.target_group_arn]
  service_rule_arn  = var.service_rule_arn
  rule_priority     = var.rule_priority
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "status_path" {
  description = "Path of the status, on the service's own hosts."
  value       = module.scale_to_zero.status_path
}
