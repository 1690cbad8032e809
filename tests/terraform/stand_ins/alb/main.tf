# terraform-aws-modules/alb, as much of it as examples/terraform-aws-modules uses: the inputs that the example
# sets, and the outputs that it reads, in the shapes of release 9.17. The registry cannot be reached by a test.

variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnets" {
  type = list(string)
}

variable "security_group_ingress_rules" {
  type = any
}

variable "security_group_egress_rules" {
  type = any
}

variable "listeners" {
  type = any
}

variable "target_groups" {
  type = any
}

locals {
  rules = merge([
    for key, listener in var.listeners : {
      for name, rule in listener.rules : "${key}/${name}" => merge(rule, { listener = key })
    }
  ]...)
}

resource "aws_security_group" "this" {
  vpc_id = var.vpc_id
}

resource "aws_lb" "this" {
  name            = var.name
  security_groups = [aws_security_group.this.id]
  subnets         = var.subnets
}

resource "aws_lb_target_group" "this" {
  for_each = var.target_groups

  vpc_id               = var.vpc_id
  target_type          = each.value.target_type
  port                 = each.value.port
  protocol             = "HTTP"
  deregistration_delay = each.value.deregistration_delay

  health_check {
    path     = each.value.health_check.path
    interval = each.value.health_check.interval
    timeout  = each.value.health_check.timeout
  }
}

resource "aws_lb_listener" "this" {
  for_each = var.listeners

  load_balancer_arn = aws_lb.this.arn
  port              = each.value.port
  protocol          = each.value.protocol
  certificate_arn   = each.value.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = each.value.fixed_response.content_type
      message_body = each.value.fixed_response.message_body
      status_code  = each.value.fixed_response.status_code
    }
  }
}

resource "aws_lb_listener_rule" "this" {
  for_each = local.rules

  listener_arn = aws_lb_listener.this[each.value.listener].arn
  priority     = each.value.priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.value.actions[0].target_group_key].arn
  }

  condition {
    host_header {
      values = each.value.conditions[0].host_header.values
    }
  }
}

output "security_group_id" {
  value = aws_security_group.this.id
}

output "listener_rules" {
  value = aws_lb_listener_rule.this
}

output "target_groups" {
  value = aws_lb_target_group.this
}
