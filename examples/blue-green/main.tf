# A service with ECS's own blue/green deployments (strategy BLUE_GREEN; LINEAR and CANARY are alike): two
# target groups, and a production listener rule whose action ECS rewrites at each deployment.
#
# The service itself is not here. aws_ecs_service has deployment_configuration and
# load_balancer.advanced_configuration from provider 6.4 on, and this example also works with provider 5.100.
# The outputs are what the service needs. With provider 6.4 or newer, write in the aws_ecs_service:
#
#   deployment_configuration {
#     strategy             = "BLUE_GREEN"
#     bake_time_in_minutes = 5
#   }
#
#   load_balancer {
#     container_name   = "app"
#     container_port   = 8080
#     target_group_arn = aws_lb_target_group.service["blue"].arn
#
#     advanced_configuration {
#       alternate_target_group_arn = aws_lb_target_group.service["green"].arn
#       production_listener_rule   = aws_lb_listener_rule.service.arn
#       role_arn                   = "..." # a role with AmazonECSInfrastructureRolePolicyForLoadBalancers
#     }
#   }
#
#   lifecycle {
#     ignore_changes = [desired_count]
#   }
#
# It is the same for CodeDeploy (deployment controller CODE_DEPLOY), whose deployment group then names the two
# target groups and the listener of the rule. The aws_ecs_service also ignores task_definition and load_balancer.

variable "listener_arn" {
  description = "ARN of the listener of the Application Load Balancer."
  type        = string
}

variable "service_rule_priority" {
  description = "Priority of the service rule. The three numbers before it must be free."
  type        = number
}

variable "vpc_id" {
  description = "ID of the VPC of the tasks."
  type        = string
}

variable "container_port" {
  description = "Port on which the container listens."
  type        = number
  default     = 8080
}

variable "health_check_path" {
  description = "Path that answers 200 when a task can serve."
  type        = string
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service, which may be made before or after this."
  type        = string
}

resource "aws_lb_target_group" "service" {
  # checkov:skip=CKV_AWS_378: between load balancer and task, within the VPC; the listener is yours
  for_each = toset(["blue", "green"])

  name                 = "${var.service_name}-${each.key}"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  port                 = var.container_port
  protocol             = "HTTP"
  deregistration_delay = 15

  health_check {
    path                = var.health_check_path
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_listener_rule" "service" {
  listener_arn = var.listener_arn
  priority     = var.service_rule_priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service["blue"].arn
  }

  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  # Each deployment shifts the traffic here, and leaves the weights 100 and 0 behind.
  lifecycle {
    ignore_changes = [action]
  }
}

module "scale_to_zero" {
  source = "../../"

  name              = var.service_name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [for color in ["blue", "green"] : aws_lb_target_group.service[color].arn]
  service_rule_arn  = aws_lb_listener_rule.service.arn
  rule_priority     = var.service_rule_priority - 3
}

output "target_group_arns" {
  description = "ARNs of the service's target groups, by color."
  value       = { for color, group in aws_lb_target_group.service : color => group.arn }
}

output "service_rule_arn" {
  description = "ARN of the service's production listener rule."
  value       = aws_lb_listener_rule.service.arn
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "status_path" {
  description = "Path of the status, on the service's own hosts."
  value       = module.scale_to_zero.status_path
}
