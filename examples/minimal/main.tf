# The minimal configuration: an existing service, its target group and its rule, and a free rule number.
# The provider is configured by the environment (AWS_REGION, AWS_PROFILE).
#
#   terraform init
#   terraform apply -var cluster_name=staging -var service_name=web \
#     -var target_group_arn=arn:aws:... -var service_rule_arn=arn:aws:... -var rule_priority=97
#
# If the service rule does not match every host and every path, the module needs the same conditions: see
# ../existing-estate. To try the module with a whole estate, see ../staging.

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
