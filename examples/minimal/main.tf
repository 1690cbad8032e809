# The least that one writes: a service that is there already, by its four names, and a free number.
# The provider is configured by the environment (AWS_REGION, AWS_PROFILE).
#
#   terraform init
#   terraform apply -var cluster_name=staging -var service_name=web \
#     -var target_group_arn=arn:aws:... -var service_rule_arn=arn:aws:... -var rule_priority=97
#
# Where the service rule matches less than every host and every path, the module needs the same
# conditions: ../existing-estate. A whole estate to try it with: ../staging.

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service; where it is made by Terraform, with ignore_changes = [desired_count]."
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
  description = "The first of three free priorities right before that rule's. 30000 more has to be free as well: there the wake rule stands while the service is awake."
  type        = number
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
