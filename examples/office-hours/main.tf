# An existing service that is awake in office hours, closed at weekends, and sleeps at all other times until a
# request wakes it. In awake hours nobody waits for a cold start.
# The provider is configured by the environment (AWS_REGION, AWS_PROFILE).
#
#   terraform init
#   terraform apply -var cluster_name=staging -var service_name=web \
#     -var target_group_arn=arn:aws:... -var service_rule_arn=arn:aws:... -var rule_priority=97
#
# The service rule matches every host and every path, as in ../minimal.

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service. If Terraform manages it, set ignore_changes = [desired_count] there."
  type        = string
}

variable "target_group_arn" {
  description = "ARN of the service's target group."
  type        = string
}

variable "service_rule_arn" {
  description = "ARN of the listener rule that forwards to that target group."
  type        = string
}

variable "rule_priority" {
  description = "The first of three free priorities directly before that rule's. This number + 30000 must be free as well: the wake rule has it while the service is awake."
  type        = number
}

variable "holidays" {
  description = "Dates on which nobody is in the office, like 2026-12-25. On these dates a request wakes the service."
  type        = list(string)
  default     = []
}

module "scale_to_zero" {
  source = "../../"

  name              = var.service_name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [var.target_group_arn]
  service_rule_arn  = var.service_rule_arn
  rule_priority     = var.rule_priority

  schedule = {
    time_zone = "Europe/Berlin"
    awake     = [{ days = ["mon", "tue", "wed", "thu", "fri"], from = "08:55", to = "18:00" }]
    closed    = [{ days = ["sat", "sun"], from = "00:00", to = "24:00" }]
    except    = var.holidays
  }
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}
