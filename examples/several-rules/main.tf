# A service behind several listener rules of another team: the apex host and the www host on port 443, and
# both of them on port 80. Data sources read load balancer, listeners, rules and target group, and nothing
# in them changes. Each rule is a route of the module, and all routes fall asleep and wake up together.
#
# What the other team's configuration needs: ../existing-estate. Here it needs three free priorities directly
# before each of the three rules, and a fourth far behind it (30000 + the first of the three).

variable "load_balancer_name" {
  description = "Name of the Application Load Balancer."
  type        = string
}

variable "hosts" {
  description = "Host headers of the service's rules, exactly as in those rules."
  type = object({
    apex = list(string)
    www  = list(string)
    http = list(string)
  })
}

variable "rule_priorities" {
  description = "Priorities of the service's rules. The three numbers before each must be free."
  type = object({
    apex = number
    www  = number
    http = number
  })
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

locals {
  ports = {
    apex = 443
    www  = 443
    http = 80
  }
}

data "aws_lb" "this" {
  name = var.load_balancer_name
}

data "aws_lb_listener" "this" {
  for_each = toset(["80", "443"])

  load_balancer_arn = data.aws_lb.this.arn
  port              = each.key
}

data "aws_lb_listener_rule" "service" {
  for_each = local.ports

  listener_arn = data.aws_lb_listener.this[each.value].arn
  priority     = var.rule_priorities[each.key]
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

  routes = {
    for key in keys(local.ports) : key => {
      service_rule_arn = data.aws_lb_listener_rule.service[key].arn
      rule_priority    = var.rule_priorities[key] - 3
      conditions       = { host_header = var.hosts[key] }
    }
  }

  heartbeat = { route = "apex" }
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "status_path" {
  description = "Path of the status, on the service's own hosts."
  value       = module.scale_to_zero.status_path
}
