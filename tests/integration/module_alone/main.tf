# The module and nothing else: what surrounds it is made by tests/surroundings.py. The outputs are
# those of examples/staging, so that a test reads either.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "name" {
  type = string
}

variable "cluster_name" {
  type = string
}

variable "service_name" {
  type = string
}

variable "url" {
  type = string
}

variable "load_balancer_name" {
  type = string
}

variable "load_balancer_arn" {
  type = string
}

variable "listener_arn" {
  type = string
}

variable "target_group_arn" {
  type = string
}

variable "more_target_group_arns" {
  type    = list(string)
  default = []
}

variable "service_rule_arn" {
  type = string
}

variable "hosts" {
  type    = list(string)
  default = []
}

variable "wake_path" {
  type    = string
  default = "listener"
}

variable "rule_priority" {
  type    = number
  default = 10
}

variable "websocket_rule" {
  type    = bool
  default = false
}

variable "idle_minutes" {
  type    = number
  default = 5
}

variable "schedule" {
  description = "In JSON; empty for none."
  type        = string
  default     = ""
}

variable "heartbeat_token_parameter_arn" {
  type    = string
  default = null
}

module "scale_to_zero" {
  source = "../../../"

  name              = var.name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = concat([var.target_group_arn], var.more_target_group_arns)
  wake_path         = var.wake_path
  service_rule_arn  = var.service_rule_arn
  rule_priority     = var.rule_priority
  conditions        = { host_header = var.hosts }
  websocket_rule    = var.websocket_rule
  load_balancer_arn = var.load_balancer_arn # for the alarm path only
  idle_minutes      = var.idle_minutes
  schedule          = var.schedule == "" ? null : jsondecode(var.schedule)
  dashboard_enabled = true
  tags              = { Estate = var.name }

  heartbeat = {
    token_parameter_arn = var.heartbeat_token_parameter_arn
  }
}

output "url" {
  value = var.url
}

output "status_url" {
  value = module.scale_to_zero.status_path == null ? null : "${var.url}${module.scale_to_zero.status_path}"
}

output "heartbeat_url" {
  value = module.scale_to_zero.heartbeat_path == null ? null : "${var.url}${module.scale_to_zero.heartbeat_path}"
}

output "dashboard_url" {
  value = module.scale_to_zero.dashboard_url
}

output "function_name" {
  value = module.scale_to_zero.function_name
}

output "load_balancer_name" {
  value = var.load_balancer_name
}

output "cluster_name" {
  value = var.cluster_name
}

output "service_name" {
  value = var.service_name
}

output "target_group_arn" {
  value = var.target_group_arn
}

output "listener_arn" {
  value = var.listener_arn
}

output "service_rule_arn" {
  value = var.service_rule_arn
}

output "wake_rule_arn" {
  value = lookup(module.scale_to_zero.wake_rule_arns, "this", null)
}

output "idle_alarm_arn" {
  value = module.scale_to_zero.idle_alarm_arns["this"]
}

output "topic_arn" {
  value = module.scale_to_zero.topic_arn
}

output "table_name" {
  value = module.scale_to_zero.table_name
}

output "log_group_name" {
  value = module.scale_to_zero.log_group_name
}
