# An environment of two services, the second without a route, which may leave the configuration. What
# surrounds the module is made by tests/surroundings.py.

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
  type = string
}

variable "worker_name" {
  type = string
}

variable "service_rule_arn" {
  type = string
}

variable "target_group_arn" {
  type = string
}

variable "with_worker" {
  type    = bool
  default = true
}

module "scale_to_zero" {
  source = "../../../"

  name         = var.service_name
  cluster_name = var.cluster_name

  services = merge(
    {
      web = {
        service_name = var.service_name
        routes = {
          this = {
            service_rule_arn  = var.service_rule_arn
            rule_priority     = 10
            target_group_arns = [var.target_group_arn]
          }
        }
      }
    },
    var.with_worker ? { worker = { service_name = var.worker_name } } : {},
  )
}

output "function_name" {
  value = module.scale_to_zero.function_name
}
