# An environment of five services, any of which may leave the configuration, as may a route. What surrounds
# the module is made by boto3 (tests/integration/examples/test_members.py).

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "cluster_name" {
  type = string
}

variable "service_name" {
  description = "The name of the module."
  type        = string
}

variable "service_names" {
  description = "The names of the ECS services, by the keys web, api, worker, mailer and auth."
  type        = map(string)
}

variable "routes" {
  description = "The routes, by SERVICE/ROUTE."
  type = map(object({
    host             = string
    rule_priority    = number
    service_rule_arn = string
    target_group_arn = string
  }))
}

variable "absent" {
  description = "Services and routes that have left the configuration."
  type        = set(string)
  default     = []
}

locals {
  start_after = { web = ["api"], api = ["auth"] }
}

module "scale_to_zero" {
  source = "../../../"

  name         = var.service_name
  cluster_name = var.cluster_name

  services = {
    for key, name in var.service_names : key => {
      service_name = name
      start_after  = setsubtract(lookup(local.start_after, key, []), var.absent)
      required     = key != "mailer"
      shared       = key == "auth"
      routes = {
        for route, given in var.routes : split("/", route)[1] => {
          service_rule_arn  = given.service_rule_arn
          rule_priority     = given.rule_priority
          conditions        = { host_header = [given.host] }
          target_group_arns = [given.target_group_arn]
        } if split("/", route)[0] == key && !contains(var.absent, route)
      }
    } if !contains(var.absent, key)
  }

  heartbeat    = { route = "web/this" }
  idle_minutes = 60 # the tests send it to sleep by command
}

output "function_name" {
  value = module.scale_to_zero.function_name
}

output "wake_rule_arns" {
  value = module.scale_to_zero.wake_rule_arns
}
