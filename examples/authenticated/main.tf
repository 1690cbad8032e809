# A staging site behind a login by an OpenID Connect provider. The service rule asks for the login, and the
# module's wake rule asks for the same one. So only people who may enter the site can wake it.
#
# Load balancer, HTTPS listener, target group and ECS service exist; the head of ../existing-estate/main.tf lists
# what they need. The provider must allow the redirect URIs of the output redirect_uris.

variable "listener_arn" {
  description = "ARN of the HTTPS listener."
  type        = string
}

variable "target_group_arn" {
  description = "ARN of the service's target group."
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

variable "hosts" {
  description = "Host names of the site."
  type        = list(string)
}

variable "service_rule_priority" {
  description = "Priority of the service rule. The four numbers before it, and 30000 + the first of them, must be free."
  type        = number
  default     = 100
}

variable "provider_endpoints" {
  description = "The provider, as its /.well-known/openid-configuration describes it; user_info_endpoint is userinfo_endpoint there."
  type = object({
    issuer                 = string
    authorization_endpoint = string
    token_endpoint         = string
    user_info_endpoint     = string
  })
}

variable "client_id" {
  description = "The site's client at the provider."
  type        = string
}

variable "client_secret" {
  description = "The client's secret. As with every rule that has a login, it is in Terraform's state."
  type        = string
  sensitive   = true
}

variable "session_timeout" {
  description = "How long somebody stays logged in, in seconds."
  type        = number
  default     = 28800
}

locals {
  # One value for both rules: a session counts for rules with the same client, scope and cookie.
  login = merge(var.provider_endpoints, {
    client_id           = var.client_id
    scope               = "openid email"
    session_cookie_name = "AWSELBAuthSessionCookie"
    session_timeout     = var.session_timeout
  })
}

resource "aws_lb_listener_rule" "service" {
  listener_arn = var.listener_arn
  priority     = var.service_rule_priority

  action {
    type = "authenticate-oidc"

    authenticate_oidc {
      issuer                 = local.login.issuer
      authorization_endpoint = local.login.authorization_endpoint
      token_endpoint         = local.login.token_endpoint
      user_info_endpoint     = local.login.user_info_endpoint
      client_id              = local.login.client_id
      client_secret          = var.client_secret
      scope                  = local.login.scope
      session_cookie_name    = local.login.session_cookie_name
      session_timeout        = local.login.session_timeout
    }
  }

  action {
    type             = "forward"
    target_group_arn = var.target_group_arn
  }

  condition {
    host_header {
      values = var.hosts
    }
  }
}

module "scale_to_zero" {
  source = "../../"

  name              = var.service_name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [var.target_group_arn]
  service_rule_arn  = aws_lb_listener_rule.service.arn
  rule_priority     = var.service_rule_priority - 4
  conditions        = { host_header = var.hosts }

  authenticate_oidc                = local.login
  authenticate_oidc_client_secrets = { this = var.client_secret }
}

output "redirect_uris" {
  description = "What the provider must allow as redirect URIs of the client."
  value       = [for host in var.hosts : "https://${host}/oauth2/idpresponse"]
}

output "function_name" {
  description = "Name of the warmkeeper, for `aws lambda invoke` with a command."
  value       = module.scale_to_zero.function_name
}

output "health_path" {
  description = "Path for monitors, on the site's own hosts. It needs no login."
  value       = module.scale_to_zero.health_path
}
