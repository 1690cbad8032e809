# A service, a cluster and a load balancer by terraform-aws-modules/ecs and terraform-aws-modules/alb. If you
# have both, copy the block scale_to_zero: all that it needs are their outputs. With ecs's submodules cluster
# and service instead of ecs, these are the output `name` of each.
#
# What matters in the other two blocks:
#
# - The service is served by one of the listener's `rules`. If it is served by the listener's `forward`, see
#   ../default-action; listener_arn is then module.alb.listeners["https"].arn.
# - The rule's priority is written, and the three before it are free.
# - The grace period and the short times of the target group, which have other defaults there.
#
# Nothing is to be done about the count and the scaling: their service always ignores changes of
# desired_count, and the scalable target that they make by default (minimum 1) has no suspended_state. So an
# apply leaves a sleeping service asleep, unless it changes the service's scaling
# (docs/guide/configuration.md#autoscaling).
#
# These are the last releases for provider 5. With provider 6 write ecs ~> 7.5 and alb ~> 10.5, which have other
# inputs (their documents say which), and the same outputs.

variable "name" {
  description = "Name of the cluster and the load balancer, at most 24 characters."
  type        = string
}

variable "vpc_id" {
  description = "ID of the VPC."
  type        = string
}

variable "public_subnet_ids" {
  description = "IDs of the load balancer's subnets."
  type        = list(string)
}

variable "private_subnet_ids" {
  description = "IDs of the tasks' subnets, which have a route to the image."
  type        = list(string)
}

variable "certificate_arn" {
  description = "ARN of the certificate for the hosts."
  type        = string
}

variable "hosts" {
  description = "Host names of the service."
  type        = list(string)
}

variable "image" {
  description = "Image of the service, which listens on container_port."
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

module "alb" {
  # checkov:skip=CKV_TF_1: the registry has versions and no commits
  source  = "terraform-aws-modules/alb/aws"
  version = "~> 9.17"

  name    = var.name
  vpc_id  = var.vpc_id
  subnets = var.public_subnet_ids

  security_group_ingress_rules = {
    https = { from_port = 443, to_port = 443, cidr_ipv4 = "0.0.0.0/0" }
  }

  security_group_egress_rules = {
    all = { ip_protocol = "-1", cidr_ipv4 = "0.0.0.0/0" }
  }

  listeners = {
    https = {
      port            = 443
      protocol        = "HTTPS"
      certificate_arn = var.certificate_arn
      fixed_response  = { content_type = "text/plain", message_body = "nothing here", status_code = "404" }

      rules = {
        app = {
          priority   = 100
          conditions = [{ host_header = { values = var.hosts } }]
          actions    = [{ type = "forward", target_group_key = "app" }]
        }
      }
    }
  }

  target_groups = {
    app = {
      target_type          = "ip"
      port                 = var.container_port
      create_attachment    = false # ECS registers the tasks
      deregistration_delay = 15
      health_check         = { path = var.health_check_path, interval = 5, timeout = 3 }
    }
  }
}

module "ecs" {
  # checkov:skip=CKV_TF_1: the registry has versions and no commits
  source  = "terraform-aws-modules/ecs/aws"
  version = "~> 5.12"

  cluster_name = var.name

  services = {
    app = {
      health_check_grace_period_seconds = 60
      subnet_ids                        = var.private_subnet_ids

      container_definitions = {
        app = {
          image         = var.image
          port_mappings = [{ containerPort = var.container_port, protocol = "tcp" }]
        }
      }

      load_balancer = {
        app = {
          target_group_arn = module.alb.target_groups["app"].arn
          container_name   = "app"
          container_port   = var.container_port
        }
      }

      security_group_rules = {
        load_balancer = {
          type                     = "ingress"
          protocol                 = "tcp"
          from_port                = var.container_port
          to_port                  = var.container_port
          source_security_group_id = module.alb.security_group_id
        }
        all = { type = "egress", protocol = "-1", from_port = 0, to_port = 0, cidr_blocks = ["0.0.0.0/0"] }
      }
    }
  }
}

module "scale_to_zero" {
  source = "../../"

  name              = var.name
  cluster_name      = module.ecs.cluster_name
  service_name      = module.ecs.services["app"].name
  target_group_arns = [module.alb.target_groups["app"].arn]
  service_rule_arn  = module.alb.listener_rules["https/app"].arn
  rule_priority     = module.alb.listener_rules["https/app"].priority - 3
  conditions        = { host_header = var.hosts } # those of the rule
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "status_path" {
  description = "Path of the status, on the service's own hosts."
  value       = module.scale_to_zero.status_path
}
