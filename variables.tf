# ---------------------------------------------------------------------------------------------
# What sleeps
# ---------------------------------------------------------------------------------------------

variable "name" {
  description = "Prefix of the names of all resources, at most 24 characters and unique within the account, because the names of IAM roles do not depend on the region."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z]([a-zA-Z0-9-]{0,22}[a-zA-Z0-9])?$", var.name))
    error_message = "name must be 1 to 24 letters, digits and hyphens, begin with a letter and not end with a hyphen; got \"${var.name}\" (${length(var.name)} characters). Write for example \"staging-web\"."
  }
}

variable "cluster_name" {
  description = "Name (not ARN) of the ECS cluster, which may be created later."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,255}$", var.cluster_name))
    error_message = "cluster_name must be the cluster's name; got \"${var.cluster_name}\". From an ARN, take the part after \"cluster/\"."
  }
}

variable "service_name" {
  description = "Name (not ARN) of the ECS service, which may be created before or after the module, required without `services`."
  type        = string
  default     = null

  validation {
    condition     = length(var.services) == 0 ? var.service_name != null : true
    error_message = "service_name must be set without services; got null. Write the name of the aws_ecs_service, or write services for an environment of several."
  }

  validation {
    condition     = length(var.services) > 0 ? var.service_name == null : true
    error_message = "service_name must be left out with services; got \"${var.service_name == null ? "null" : var.service_name}\". Write it as service_name of a service, or as its key."
  }

  validation {
    condition     = var.service_name == null ? true : can(regex("^[a-zA-Z0-9_-]{1,255}$", var.service_name))
    error_message = "service_name must be the service's name; got \"${var.service_name == null ? "null" : var.service_name}\". From an ARN, take the part after the last \"/\"."
  }
}

variable "target_group_arns" {
  description = "ARNs of the service's own target groups, 1 to 5; the module reads their health and RequestCount and does not change them."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.target_group_arns) > 0 || length(var.services) > 0 || length(var.routes) > 0 && alltrue([for route in var.routes : length(route.target_group_arns) > 0])
    error_message = "target_group_arns must hold at least one ARN, unless each of routes has target_group_arns of its own; got none. Write [aws_lb_target_group.NAME.arn], the group that the service's load_balancer block names."
  }

  validation {
    condition     = length(var.services) > 0 ? length(var.target_group_arns) == 0 : true
    error_message = "target_group_arns must be left out with services; got ${jsonencode(var.target_group_arns)}. Write them as target_group_arns of each route of a service."
  }

  validation {
    condition     = length(var.target_group_arns) <= 5
    error_message = "target_group_arns must hold at most 5 ARNs, because an ECS service has at most 5 target groups; got ${length(var.target_group_arns)}. Write those that the service's load_balancer blocks name."
  }

  validation {
    condition     = alltrue([for arn in var.target_group_arns : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$", arn))])
    error_message = "target_group_arns must hold a target group's ARN; got ${jsonencode(var.target_group_arns)}. Write the arn attribute of the service's aws_lb_target_group."
  }
}

# ---------------------------------------------------------------------------------------------
# How it is woken
# ---------------------------------------------------------------------------------------------

variable "wake_path" {
  description = "\"listener\": a listener rule hands the first request to the Lambda, which wakes the service and holds the client; \"alarm\": a CloudWatch alarm on 503s wakes the service after one to three minutes, without a rule."
  type        = string
  default     = "listener"
  nullable    = false

  validation {
    condition     = contains(["listener", "alarm"], var.wake_path)
    error_message = "wake_path must be \"listener\" or \"alarm\"; got \"${var.wake_path}\"."
  }
}

variable "service_rule_arn" {
  description = "ARN of your own listener rule that forwards to the service, required on the listener path without `routes`, `services` and `create_service_rule`; the module never changes it."
  type        = string
  default     = null

  validation {
    condition     = var.wake_path == "listener" && length(var.routes) + length(var.services) == 0 && !var.create_service_rule ? var.service_rule_arn != null : true
    error_message = "service_rule_arn must be set where wake_path is \"listener\"; got null. Write the arn of the aws_lb_listener_rule that forwards to the service, set create_service_rule = true for a service that the default action serves, or set wake_path = \"alarm\"."
  }

  validation {
    condition     = length(var.routes) + length(var.services) > 0 || var.create_service_rule ? var.service_rule_arn == null : true
    error_message = "service_rule_arn must be left out with routes, with services and with create_service_rule; got \"${var.service_rule_arn == null ? "null" : var.service_rule_arn}\". Write it as service_rule_arn of a route, or leave create_service_rule out."
  }

  validation {
    condition     = var.service_rule_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener-rule/app/[^/]+/[^/]+/[^/]+/[^/]+$", var.service_rule_arn))
    error_message = "service_rule_arn must be the ARN of a rule on an Application Load Balancer's listener; got \"${coalesce(var.service_rule_arn, "null")}\". Write the arn of an aws_lb_listener_rule (not of a listener: no rule can be placed behind a default action, so write create_service_rule and listener_arn instead)."
  }
}

variable "create_service_rule" {
  description = "Make the service rule, for a service that the default action of `listener_arn` serves; the default action stays as it is."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = length(var.routes) + length(var.services) > 0 ? !var.create_service_rule : true
    error_message = "create_service_rule must be left out with routes and with services; got true. Write it in a route."
  }
}

variable "listener_arn" {
  description = "ARN of the listener on which `create_service_rule` makes the service rule; otherwise it follows from `service_rule_arn`."
  type        = string
  default     = null

  validation {
    condition     = var.create_service_rule ? var.listener_arn != null : true
    error_message = "listener_arn must be set with create_service_rule; got null. Write the arn of the aws_lb_listener whose default action forwards to the service."
  }

  validation {
    condition     = var.create_service_rule ? true : var.listener_arn == null
    error_message = "listener_arn must be left out without create_service_rule; got \"${var.listener_arn == null ? "null" : var.listener_arn}\". The listener follows from service_rule_arn; with routes and with services, write it as listener_arn of a route."
  }

  validation {
    condition     = var.listener_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener/app/[^/]+/[^/]+/[^/]+$", var.listener_arn))
    error_message = "listener_arn must be the ARN of an Application Load Balancer's listener; got \"${var.listener_arn == null ? "null" : var.listener_arn}\". Write the arn of an aws_lb_listener."
  }
}

variable "load_balancer_arn" {
  description = "ARN of the Application Load Balancer, required on the alarm path only."
  type        = string
  default     = null

  validation {
    condition     = var.wake_path == "alarm" ? var.load_balancer_arn != null : true
    error_message = "load_balancer_arn must be set where wake_path is \"alarm\"; got null. Write the arn of the aws_lb in front of the service."
  }

  validation {
    condition     = var.load_balancer_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:loadbalancer/app/[^/]+/[^/]+$", var.load_balancer_arn))
    error_message = "load_balancer_arn must be the ARN of an Application Load Balancer; got \"${coalesce(var.load_balancer_arn, "null")}\". Write the arn of an aws_lb whose load_balancer_type is \"application\"."
  }
}

variable "conditions" {
  description = "The conditions of your service rule, exactly as in that rule and in the provider's words; no host header means any host."
  type = object({
    host_header  = optional(list(string), [])
    path_pattern = optional(list(string), ["/*"])
    http_header = optional(list(object({
      http_header_name = string
      values           = list(string)
    })), [])
    http_request_method = optional(list(string), [])
    query_string = optional(list(object({
      key   = optional(string)
      value = string
    })), [])
    source_ip = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition     = length(var.routes) + length(var.services) > 0 ? length(var.conditions.host_header) + length(var.conditions.http_header) + length(var.conditions.http_request_method) + length(var.conditions.query_string) + length(var.conditions.source_ip) == 0 && join(",", var.conditions.path_pattern) == "/*" : true
    error_message = "conditions must be left out with routes and with services. Write them as conditions of a route."
  }

  validation {
    condition     = alltrue([for host in var.conditions.host_header : can(regex("^[a-zA-Z0-9._*?-]{1,128}$", host))])
    error_message = "conditions.host_header must be host names of at most 128 characters, * and ? allowed; got ${jsonencode(var.conditions.host_header)}. Write for example \"staging.example.com\", without scheme or port."
  }

  validation {
    condition     = length(var.conditions.path_pattern) > 0 && alltrue([for path in var.conditions.path_pattern : can(regex("^[/*][^\\s]{0,127}$", path))])
    error_message = "conditions.path_pattern must be at least one path pattern that begins with / or *, of at most 128 characters; got ${jsonencode(var.conditions.path_pattern)}. Write [\"/*\"] for every path."
  }

  validation {
    condition     = alltrue([for header in var.conditions.http_header : can(regex("^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}$", header.http_header_name)) && lower(header.http_header_name) != "host" && length(header.values) > 0 && alltrue([for value in header.values : nonsensitive(length(value) >= 1 && length(value) <= 128)])])
    error_message = "conditions.http_header must be headers with a name of at most 40 characters (not Host, which is host_header) and at least one value of 1 to 128 characters; got the names ${jsonencode(var.conditions.http_header[*].http_header_name)}. Write for example [{ http_header_name = \"X-Origin-Secret\", values = [\"...\"] }]."
  }

  validation {
    condition     = alltrue([for method in var.conditions.http_request_method : can(regex("^[A-Z_-]{1,40}$", method))])
    error_message = "conditions.http_request_method must be methods in capital letters, - and _ allowed, of at most 40 characters; got ${jsonencode(var.conditions.http_request_method)}. Write for example [\"GET\", \"HEAD\"]."
  }

  validation {
    condition     = alltrue([for pair in var.conditions.query_string : length(pair.value) >= 1 && length(pair.value) <= 128 && (pair.key == null ? true : length(pair.key) >= 1 && length(pair.key) <= 128)])
    error_message = "conditions.query_string must be pairs whose value, and key if there is one, has 1 to 128 characters; got ${jsonencode(var.conditions.query_string)}. Write for example [{ key = \"version\", value = \"v1\" }], of which one must match."
  }

  validation {
    condition     = alltrue([for range in var.conditions.source_ip : can(cidrhost(range, 0))])
    error_message = "conditions.source_ip must be ranges of addresses; got ${jsonencode(var.conditions.source_ip)}. Write for example [\"203.0.113.0/24\"], and \"203.0.113.7/32\" for one address."
  }
}

variable "rule_priority" {
  description = "The first of three free priorities (one more each with `websocket_rule`, with a login and with `create_service_rule`) before your service rule's, required on the listener path without `routes` and `services`."
  type        = number
  default     = null

  validation {
    condition     = var.wake_path == "listener" && length(var.routes) + length(var.services) == 0 ? var.rule_priority != null : true
    error_message = "rule_priority must be set where wake_path is \"listener\"; got null. Write the first of three free numbers (one more each with websocket_rule and with a login) that are lower than your service rule's priority."
  }

  validation {
    condition     = length(var.routes) + length(var.services) > 0 ? var.rule_priority == null : true
    error_message = "rule_priority must be left out with routes and with services; got ${var.rule_priority == null ? "null" : tostring(var.rule_priority)}. Write it as rule_priority of a route."
  }

  validation {
    condition     = var.rule_priority == null ? true : var.rule_priority >= 1 && var.rule_priority + (var.websocket_rule ? 3 : 2) + (var.authenticate_cognito == null && var.authenticate_oidc == null ? 0 : 1) <= 49998 && floor(var.rule_priority) == var.rule_priority
    error_message = "rule_priority must be a whole number from 1 to ${49998 - (var.websocket_rule ? 3 : 2) - (var.authenticate_cognito == null && var.authenticate_oidc == null ? 0 : 1)}, because the ${(var.websocket_rule ? 3 : 2) + (var.authenticate_cognito == null && var.authenticate_oidc == null ? 0 : 1)} numbers after it, the service rule's number and one number behind that follow, up to 50000; got ${var.rule_priority == null ? "null" : tostring(var.rule_priority)}."
  }
}

variable "parked_rule_priority" {
  description = "The wake rule's priority while the service is awake: a free number greater than your service rule's; null means 30000 + `rule_priority`."
  type        = number
  default     = null

  validation {
    condition     = length(var.routes) + length(var.services) > 0 ? var.parked_rule_priority == null : true
    error_message = "parked_rule_priority must be left out with routes and with services; got ${var.parked_rule_priority == null ? "null" : tostring(var.parked_rule_priority)}. Write it as parked_rule_priority of a route."
  }

  # Rule numbers go from 1 to 50000, both included:
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html
  validation {
    condition     = var.parked_rule_priority == null ? true : var.parked_rule_priority <= 50000 && floor(var.parked_rule_priority) == var.parked_rule_priority
    error_message = "parked_rule_priority must be a whole number of at most 50000, the last number of a listener; got ${var.parked_rule_priority == null ? "null" : tostring(var.parked_rule_priority)}. Write a free number behind the service rule's, or leave it out to use 30000 + rule_priority."
  }

  validation {
    condition     = var.parked_rule_priority == null ? true : var.parked_rule_priority >= coalesce(var.rule_priority, 1) + (var.websocket_rule ? 5 : 4) + (var.authenticate_cognito == null && var.authenticate_oidc == null ? 0 : 1)
    error_message = "parked_rule_priority must be at least ${coalesce(var.rule_priority, 1) + (var.websocket_rule ? 5 : 4) + (var.authenticate_cognito == null && var.authenticate_oidc == null ? 0 : 1)}, because the service rule stands between it and the ${(var.websocket_rule ? 4 : 3) + (var.authenticate_cognito == null && var.authenticate_oidc == null ? 0 : 1)} numbers from rule_priority on; got ${var.parked_rule_priority == null ? "null" : tostring(var.parked_rule_priority)}. Write a free number behind the service rule's."
  }

  validation {
    condition     = var.parked_rule_priority == null && var.wake_path == "listener" && length(var.routes) + length(var.services) == 0 ? coalesce(var.rule_priority, 1) <= 20000 : true
    error_message = "parked_rule_priority must be set where rule_priority is above 20000, because 30000 + rule_priority would be more than 50000; got null, and ${coalesce(var.rule_priority, 1)} for rule_priority. Write a free number behind the service rule's, at most 50000."
  }

  validation {
    condition     = var.parked_rule_priority == null && var.wake_path == "listener" && length(var.routes) + length(var.services) == 0 && !var.create_service_rule ? var.checks_enabled : true
    error_message = "parked_rule_priority must be set where checks_enabled is false, because the module then cannot check that 30000 + rule_priority is greater than the service rule's priority, and a wake rule before the service rule would take the running service's requests; got null. Write a free number behind the service rule's."
  }
}

variable "websocket_rule" {
  description = "Add a listener rule that passes WebSocket upgrades to the service in every phase, so that a drowsy service accepts them."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = length(var.routes) + length(var.services) > 0 ? !var.websocket_rule : true
    error_message = "websocket_rule must be left out with routes and with services; got true. Write it in a route."
  }
}

variable "authenticate_cognito" {
  description = "The login of your service rule by Amazon Cognito, exactly as in its action `authenticate_cognito`; the wake rule asks for the same login."
  type = object({
    user_pool_arn                       = string
    user_pool_client_id                 = string
    user_pool_domain                    = string
    scope                               = optional(string, "openid")
    session_cookie_name                 = optional(string, "AWSELBAuthSessionCookie")
    session_timeout                     = optional(number, 604800)
    on_unauthenticated_request          = optional(string, "authenticate")
    authentication_request_extra_params = optional(map(string))
  })
  default = null

  validation {
    condition     = var.wake_path == "listener" && length(var.routes) + length(var.services) == 0 ? true : var.authenticate_cognito == null
    error_message = "authenticate_cognito must be left out with routes, with services and where wake_path is \"alarm\"; got one. Write it in a route; the alarm path has no rule that could ask for a login."
  }
}

variable "authenticate_oidc" {
  description = "The login of your service rule by an OpenID Connect provider, exactly as in its action `authenticate_oidc`, without `client_secret`; the wake rule asks for the same login."
  type = object({
    authorization_endpoint              = string
    client_id                           = string
    issuer                              = string
    token_endpoint                      = string
    user_info_endpoint                  = string
    scope                               = optional(string, "openid")
    session_cookie_name                 = optional(string, "AWSELBAuthSessionCookie")
    session_timeout                     = optional(number, 604800)
    on_unauthenticated_request          = optional(string, "authenticate")
    authentication_request_extra_params = optional(map(string))
  })
  default = null

  validation {
    condition     = var.wake_path == "listener" && length(var.routes) + length(var.services) == 0 ? true : var.authenticate_oidc == null
    error_message = "authenticate_oidc must be left out with routes, with services and where wake_path is \"alarm\"; got one. Write it in a route; the alarm path has no rule that could ask for a login."
  }
}

variable "authenticate_oidc_client_secrets" {
  description = "The `client_secret` of each `authenticate_oidc`, by route: `this` in a plain call, its key with `routes`, and `SERVICE/ROUTE` with `services`."
  type        = map(string)
  default     = {}
  nullable    = false
  sensitive   = true

  # The keys are no secret.
  validation {
    condition     = length(setsubtract(local.oidc_routes, nonsensitive(keys(var.authenticate_oidc_client_secrets)))) == 0
    error_message = "authenticate_oidc_client_secrets must have the client_secret of each authenticate_oidc; these routes have none: ${join(", ", setsubtract(local.oidc_routes, nonsensitive(keys(var.authenticate_oidc_client_secrets))))}. Write { \"ROUTE\" = var.client_secret }; the route of a plain call is \"this\"."
  }

  validation {
    condition     = length(setsubtract(nonsensitive(keys(var.authenticate_oidc_client_secrets)), local.oidc_routes)) == 0
    error_message = "the keys of authenticate_oidc_client_secrets must be routes with authenticate_oidc; these are not: ${join(", ", setsubtract(nonsensitive(keys(var.authenticate_oidc_client_secrets)), local.oidc_routes))}. Write some of ${jsonencode(local.oidc_routes)}, or leave them out."
  }
}

variable "routes" {
  description = "Several ways to the service on one load balancer, by keys of your choice, instead of `service_rule_arn`, `rule_priority` and the other inputs of one route."
  type = map(object({
    service_rule_arn     = optional(string)
    create_service_rule  = optional(bool, false)
    listener_arn         = optional(string)
    rule_priority        = number
    parked_rule_priority = optional(number)
    conditions = optional(object({
      host_header  = optional(list(string), [])
      path_pattern = optional(list(string), ["/*"])
      http_header = optional(list(object({
        http_header_name = string
        values           = list(string)
      })), [])
      http_request_method = optional(list(string), [])
      query_string = optional(list(object({
        key   = optional(string)
        value = string
      })), [])
      source_ip = optional(list(string), [])
    }), {})
    target_group_arns = optional(list(string), [])
    websocket_rule    = optional(bool, false)
    authenticate_cognito = optional(object({
      user_pool_arn                       = string
      user_pool_client_id                 = string
      user_pool_domain                    = string
      scope                               = optional(string, "openid")
      session_cookie_name                 = optional(string, "AWSELBAuthSessionCookie")
      session_timeout                     = optional(number, 604800)
      on_unauthenticated_request          = optional(string, "authenticate")
      authentication_request_extra_params = optional(map(string))
    }))
    authenticate_oidc = optional(object({
      authorization_endpoint              = string
      client_id                           = string
      issuer                              = string
      token_endpoint                      = string
      user_info_endpoint                  = string
      scope                               = optional(string, "openid")
      session_cookie_name                 = optional(string, "AWSELBAuthSessionCookie")
      session_timeout                     = optional(number, 604800)
      on_unauthenticated_request          = optional(string, "authenticate")
      authentication_request_extra_params = optional(map(string))
    }))
  }))
  default  = {}
  nullable = false

  validation {
    condition     = var.wake_path == "listener" ? true : length(var.routes) == 0
    error_message = "routes must be left out where wake_path is \"alarm\", which has no listener rules; got ${jsonencode(keys(var.routes))}. Leave them out, or set wake_path = \"listener\"."
  }

  validation {
    condition     = length(var.services) > 0 ? length(var.routes) == 0 : true
    error_message = "routes must be left out with services; got ${jsonencode(keys(var.routes))}. Write them as routes of a service."
  }

  validation {
    condition     = length(var.routes) <= 8
    error_message = "routes must have at most 8 keys, because the function's environment has no room for more; got ${length(var.routes)}. Let one rule have several hosts (conditions.host_header)."
  }

  # An alarm's name ends with the key, and those of service_connect begin with "connect".
  validation {
    condition     = alltrue([for key in keys(var.routes) : can(regex("^[a-z][a-z0-9-]{0,19}$", key)) && !can(regex("^connect(-|$)", key))])
    error_message = "the keys of routes must be 1 to 20 lower-case letters, digits and hyphens, begin with a letter, and not with the word connect; got ${jsonencode(keys(var.routes))}. Write for example apex, www and http."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : route.create_service_rule ? route.service_rule_arn == null && route.listener_arn != null : route.service_rule_arn != null && route.listener_arn == null])
    error_message = "each of routes must have either service_rule_arn, or create_service_rule = true and listener_arn; these do not: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(route.create_service_rule ? route.service_rule_arn == null && route.listener_arn != null : route.service_rule_arn != null && route.listener_arn == null)])}. Write the arn of the aws_lb_listener_rule that forwards to the service; for a service that a listener's default action serves, write create_service_rule and that listener's arn."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : route.service_rule_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener-rule/app/[^/]+/[^/]+/[^/]+/[^/]+$", route.service_rule_arn))])
    error_message = "service_rule_arn must be the ARN of a rule on an Application Load Balancer's listener; it is not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(route.service_rule_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener-rule/app/[^/]+/[^/]+/[^/]+/[^/]+$", route.service_rule_arn)))])}. Write the arn of an aws_lb_listener_rule."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : route.listener_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener/app/[^/]+/[^/]+/[^/]+$", route.listener_arn))])
    error_message = "listener_arn must be the ARN of an Application Load Balancer's listener; it is not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(route.listener_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener/app/[^/]+/[^/]+/[^/]+$", route.listener_arn)))])}. Write the arn of an aws_lb_listener."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : route.rule_priority >= 1 && route.rule_priority + (route.websocket_rule ? 3 : 2) + (route.authenticate_cognito == null && route.authenticate_oidc == null ? 0 : 1) <= 49998 && floor(route.rule_priority) == route.rule_priority])
    error_message = "rule_priority must be a whole number from 1 to 49996 (one less with websocket_rule, one less with a login), because the other numbers of the route follow, up to 50000; it is not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(route.rule_priority >= 1 && route.rule_priority + (route.websocket_rule ? 3 : 2) + (route.authenticate_cognito == null && route.authenticate_oidc == null ? 0 : 1) <= 49998 && floor(route.rule_priority) == route.rule_priority)])}."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : route.parked_rule_priority == null ? route.rule_priority <= 20000 : route.parked_rule_priority <= 50000 && floor(route.parked_rule_priority) == route.parked_rule_priority && route.parked_rule_priority >= route.rule_priority + (route.websocket_rule ? 5 : 4) + (route.authenticate_cognito == null && route.authenticate_oidc == null ? 0 : 1)])
    error_message = "parked_rule_priority must be a whole number of at most 50000 that leaves room for the service rule behind the numbers from rule_priority on; left out, it is 30000 + rule_priority. It is not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(route.parked_rule_priority == null ? route.rule_priority <= 20000 : route.parked_rule_priority <= 50000 && floor(route.parked_rule_priority) == route.parked_rule_priority && route.parked_rule_priority >= route.rule_priority + (route.websocket_rule ? 5 : 4) + (route.authenticate_cognito == null && route.authenticate_oidc == null ? 0 : 1))])}. Write a free number behind the service rule's."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : route.parked_rule_priority == null && !route.create_service_rule ? var.checks_enabled : true])
    error_message = "parked_rule_priority must be set where checks_enabled is false, because the module then cannot check that 30000 + rule_priority is greater than the service rule's priority; it is not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(route.parked_rule_priority == null && !route.create_service_rule ? var.checks_enabled : true)])}. Write a free number behind the service rule's."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : length(route.target_group_arns) <= 5 && alltrue([for arn in route.target_group_arns : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$", arn))])])
    error_message = "target_group_arns of a route must be at most 5 ARNs of target groups; they are not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(length(route.target_group_arns) <= 5 && alltrue([for arn in route.target_group_arns : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$", arn))]))])}. Write the arn attributes of the aws_lb_target_groups that this route's rule forwards to, or leave it out for those of the input target_group_arns."
  }

  # The alarms of the route `this` would have the keys of the plain list.
  validation {
    condition     = length(try(var.routes["this"].target_group_arns, [])) == 0
    error_message = "routes[\"this\"].target_group_arns must be left out, because the keys of its alarms are those of the input target_group_arns; got ${jsonencode(try(var.routes["this"].target_group_arns, []))}. Write them in target_group_arns, or rename the route."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : alltrue([for host in route.conditions.host_header : can(regex("^[a-zA-Z0-9._*?-]{1,128}$", host))])])
    error_message = "conditions.host_header must be host names of at most 128 characters, * and ? allowed; they are not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(alltrue([for host in route.conditions.host_header : can(regex("^[a-zA-Z0-9._*?-]{1,128}$", host))]))])}. Write for example \"staging.example.com\", without scheme or port."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : length(route.conditions.path_pattern) > 0 && alltrue([for path in route.conditions.path_pattern : can(regex("^[/*][^\\s]{0,127}$", path))])])
    error_message = "conditions.path_pattern must be at least one path pattern that begins with / or *, of at most 128 characters; it is not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(length(route.conditions.path_pattern) > 0 && alltrue([for path in route.conditions.path_pattern : can(regex("^[/*][^\\s]{0,127}$", path))]))])}. Write [\"/*\"] for every path."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : alltrue([for header in route.conditions.http_header : can(regex("^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}$", header.http_header_name)) && lower(header.http_header_name) != "host" && length(header.values) > 0 && alltrue([for value in header.values : nonsensitive(length(value) >= 1 && length(value) <= 128)])])])
    error_message = "conditions.http_header must be headers with a name of at most 40 characters (not Host, which is host_header) and at least one value of 1 to 128 characters; they are not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(alltrue([for header in route.conditions.http_header : can(regex("^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,40}$", header.http_header_name)) && lower(header.http_header_name) != "host" && length(header.values) > 0 && alltrue([for value in header.values : nonsensitive(length(value) >= 1 && length(value) <= 128)])]))])}. Write for example [{ http_header_name = \"X-Origin-Secret\", values = [\"...\"] }]."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : alltrue([for method in route.conditions.http_request_method : can(regex("^[A-Z_-]{1,40}$", method))])])
    error_message = "conditions.http_request_method must be methods in capital letters, - and _ allowed, of at most 40 characters; they are not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(alltrue([for method in route.conditions.http_request_method : can(regex("^[A-Z_-]{1,40}$", method))]))])}. Write for example [\"GET\", \"HEAD\"]."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : alltrue([for pair in route.conditions.query_string : length(pair.value) >= 1 && length(pair.value) <= 128 && (pair.key == null ? true : length(pair.key) >= 1 && length(pair.key) <= 128)])])
    error_message = "conditions.query_string must be pairs whose value, and key if there is one, has 1 to 128 characters; they are not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(alltrue([for pair in route.conditions.query_string : length(pair.value) >= 1 && length(pair.value) <= 128 && (pair.key == null ? true : length(pair.key) >= 1 && length(pair.key) <= 128)]))])}. Write for example [{ key = \"version\", value = \"v1\" }], of which one must match."
  }

  validation {
    condition     = alltrue([for route in merge(var.routes, local.services_routes) : alltrue([for range in route.conditions.source_ip : can(cidrhost(range, 0))])])
    error_message = "conditions.source_ip must be ranges of addresses; they are not in these routes: ${join(", ", [for key, route in merge(var.routes, local.services_routes) : key if !(alltrue([for range in route.conditions.source_ip : can(cidrhost(range, 0))]))])}. Write for example [\"203.0.113.0/24\"], and \"203.0.113.7/32\" for one address."
  }
}

variable "control_path" {
  description = "Path below which every request goes to the Lambda (a page, status, health, wake, heartbeat); several modules on one host need different paths."
  type        = string
  default     = "/.warmkeeper"
  nullable    = false

  validation {
    condition     = can(regex("^(/[a-zA-Z0-9._~-]+)+$", var.control_path)) && length(var.control_path) <= 100
    error_message = "control_path must begin with /, not end with one, and hold at most 100 letters, digits and . _ ~ - between its slashes; got \"${var.control_path}\". Write for example \"/.warmkeeper\"."
  }
}

variable "public_url" {
  description = "URL at which people open the service, such as `https://staging.example.com`: notices then link to the page below `control_path`, which shows the phase and wakes at a click."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(https?://[a-zA-Z0-9.-]{1,253}(:[0-9]{1,5})?)?$", var.public_url))
    error_message = "public_url must be https:// or http://, a host and perhaps a port, without a path, a query or a / at its end; got \"${var.public_url}\". Write for example \"https://staging.example.com\"."
  }

  validation {
    condition     = var.public_url == "" || (var.wake_path == "listener" && length(local.given_routes) > 0)
    error_message = "public_url must be \"\" without a route on the listener path, because notices would link to the control path, which only a listener rule of the module serves; got \"${var.public_url}\" with wake_path = \"${var.wake_path}\" and ${length(local.given_routes)} routes. Leave public_url out."
  }
}

variable "awake_count" {
  description = "Number of tasks to wake to when no earlier count is remembered."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.awake_count >= 1 && var.awake_count <= 5000 && floor(var.awake_count) == var.awake_count
    error_message = "awake_count must be a whole number from 1 to 5000; got ${var.awake_count}. A service that wakes to 0 tasks would not wake."
  }
}

variable "hold_seconds" {
  description = "How long one API request is held, in seconds, before a 307 sends it to the same URL again."
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.hold_seconds >= 10 && var.hold_seconds <= 25 && floor(var.hold_seconds) == var.hold_seconds
    error_message = "hold_seconds must be a whole number from 10 to 25: below the time-outs of clients and of CloudFront (30 s), and not so short that a client runs out of redirects; got ${var.hold_seconds}."
  }
}

variable "hold_limit" {
  description = "How many holds of API requests may begin within `hold_seconds`; each hold occupies a Lambda, and further requests get 503 with `Retry-After`."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.hold_limit >= 0 && var.hold_limit <= 10000 && floor(var.hold_limit) == var.hold_limit
    error_message = "hold_limit must be a whole number from 0 (hold nothing) to 10000; got ${var.hold_limit}. As many earlier holds may still be running, so the account's concurrency must be at least twice this."
  }
}

variable "waiting_status_code" {
  description = "Status of the waiting page: 503, or 202 or 200 behind a proxy that replaces or caches a 503."
  type        = number
  default     = 503
  nullable    = false

  validation {
    condition     = contains([503, 202, 200], var.waiting_status_code)
    error_message = "waiting_status_code must be 503, 202 or 200; got ${var.waiting_status_code}. Write 503 unless a proxy replaces or stores the page."
  }
}

variable "wake_confirmation" {
  description = "\"request\": any request that `wake_policy` does not ignore wakes the service; \"browser\": only the script of the waiting page wakes it, or a `POST` to `wake` below `control_path`."
  type        = string
  default     = "request"
  nullable    = false

  validation {
    condition     = contains(["request", "browser"], var.wake_confirmation)
    error_message = "wake_confirmation must be \"request\" or \"browser\"; got \"${var.wake_confirmation}\"."
  }

  validation {
    condition     = var.wake_confirmation == "browser" ? var.wake_path == "listener" : true
    error_message = "wake_confirmation = \"browser\" must go with wake_path = \"listener\", because the waiting page sends the wake; got wake_path = \"${var.wake_path}\". Leave wake_confirmation out on the alarm path."
  }
}

variable "cors_allowed_origins" {
  description = "Origins whose pages may read the warmkeeper's own answers, such as `https://app.example.com`, or `*` for any, without credentials."
  type        = list(string)
  default     = ["*"]
  nullable    = false

  validation {
    condition     = alltrue([for origin in var.cors_allowed_origins : can(regex("^(\\*|https?://[a-z0-9.-]+(:[0-9]+)?)$", origin))])
    error_message = "cors_allowed_origins must be origins as browsers send them, in lower case and without a path, or \"*\"; got ${jsonencode(var.cors_allowed_origins)}. Write for example [\"https://app.example.com\"]."
  }

  # The origins are in the function's environment, which AWS limits to 4 KB:
  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
  validation {
    condition     = length(join(",", var.cors_allowed_origins)) <= 1000
    error_message = "cors_allowed_origins must have at most 1,000 characters in total, with the commas between the origins; got ${length(join(",", var.cors_allowed_origins))}. Write [\"*\"], which lets any page read and none send credentials."
  }
}

variable "wake_deadline_seconds" {
  description = "How long a wake may take, in seconds, before it is given up with a notice."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.wake_deadline_seconds >= 60 && var.wake_deadline_seconds <= 840 && floor(var.wake_deadline_seconds) == var.wake_deadline_seconds
    error_message = "wake_deadline_seconds must be a whole number from 60 to 840; got ${var.wake_deadline_seconds}. Fargate alone needs 20 to 60 s, and the function that waits for a wake may run for 900 s."
  }
}

variable "cold_start_target_seconds" {
  description = "The cold start that you want, in seconds from the first request to the first live target, without the starts of databases; a slower one raises an alarm."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.cold_start_target_seconds >= 1 && var.cold_start_target_seconds <= var.wake_deadline_seconds && floor(var.cold_start_target_seconds) == var.cold_start_target_seconds
    error_message = "cold_start_target_seconds must be a whole number from 1 to wake_deadline_seconds (${var.wake_deadline_seconds}), after which a wake is given up; got ${var.cold_start_target_seconds}."
  }
}

# ---------------------------------------------------------------------------------------------
# An environment: several services, their queues and databases
# ---------------------------------------------------------------------------------------------

variable "services" {
  description = "The services of an environment that sleeps and wakes as one, at most ten by keys of your choice, instead of `service_name` and the other inputs of one service; `start_after` names services and databases (docs/guide/configuration.md)."
  type = map(object({
    service_name = optional(string)
    routes = optional(map(object({
      service_rule_arn     = optional(string)
      create_service_rule  = optional(bool, false)
      listener_arn         = optional(string)
      rule_priority        = number
      parked_rule_priority = optional(number)
      conditions = optional(object({
        host_header  = optional(list(string), [])
        path_pattern = optional(list(string), ["/*"])
        http_header = optional(list(object({
          http_header_name = string
          values           = list(string)
        })), [])
        http_request_method = optional(list(string), [])
        query_string = optional(list(object({
          key   = optional(string)
          value = string
        })), [])
        source_ip = optional(list(string), [])
      }), {})
      target_group_arns = optional(list(string), [])
      websocket_rule    = optional(bool, false)
      authenticate_cognito = optional(object({
        user_pool_arn                       = string
        user_pool_client_id                 = string
        user_pool_domain                    = string
        scope                               = optional(string, "openid")
        session_cookie_name                 = optional(string, "AWSELBAuthSessionCookie")
        session_timeout                     = optional(number, 604800)
        on_unauthenticated_request          = optional(string, "authenticate")
        authentication_request_extra_params = optional(map(string))
      }))
      authenticate_oidc = optional(object({
        authorization_endpoint              = string
        client_id                           = string
        issuer                              = string
        token_endpoint                      = string
        user_info_endpoint                  = string
        scope                               = optional(string, "openid")
        session_cookie_name                 = optional(string, "AWSELBAuthSessionCookie")
        session_timeout                     = optional(number, 604800)
        on_unauthenticated_request          = optional(string, "authenticate")
        authentication_request_extra_params = optional(map(string))
      }))
    })), {})
    start_after = optional(list(string), [])
    required    = optional(bool)
    shared      = optional(bool, false)
    queue_arns  = optional(list(string), [])
    service_connect = optional(list(object({
      discovery_name = string
    })), [])
  }))
  default  = {}
  nullable = false

  validation {
    condition     = var.wake_path == "listener" ? true : length(var.services) == 0
    error_message = "services must be left out where wake_path is \"alarm\", which wakes one service; got ${jsonencode(keys(var.services))}. Leave them out, or set wake_path = \"listener\"."
  }

  validation {
    condition     = length(var.services) <= 10
    error_message = "services must have at most 10 keys, because one call of ECS describes 10 services; got ${length(var.services)}. Divide them into two environments, each with a module of its own."
  }

  # An alarm's name has the key after "idle-", or after "idle-connect-" and "idle-queue-".
  validation {
    condition     = alltrue([for key in keys(var.services) : can(regex("^[a-z][a-z0-9-]{0,15}$", key)) && !can(regex("^(connect|queue)(-|$)", key))])
    error_message = "the keys of services must be 1 to 16 lower-case letters, digits and hyphens, begin with a letter, and not with the words connect or queue; got ${jsonencode(keys(var.services))}. Write for example web, api and worker."
  }

  validation {
    condition     = length(setintersection(keys(var.services), keys(var.databases))) == 0
    error_message = "the keys of services and databases must differ, because start_after names both; these are in both: ${join(", ", setintersection(keys(var.services), keys(var.databases)))}. Rename one of each."
  }

  validation {
    condition     = alltrue([for service in var.services : service.service_name == null ? true : can(regex("^[a-zA-Z0-9_-]{1,255}$", service.service_name))])
    error_message = "service_name must be the service's name; it is not in these services: ${join(", ", [for key, service in var.services : key if !(service.service_name == null ? true : can(regex("^[a-zA-Z0-9_-]{1,255}$", service.service_name)))])}. From an ARN, take the part after the last \"/\"; leave it out if the key is the name."
  }

  validation {
    condition     = length(distinct([for key, service in var.services : coalesce(service.service_name, key)])) == length(var.services)
    error_message = "services must name each ECS service once; got ${jsonencode([for key, service in var.services : coalesce(service.service_name, key)])}. Leave out what is there twice, and write all of its routes and queue_arns under one key."
  }

  validation {
    condition     = length(var.services) == 0 ? true : anytrue([for service in var.services : length(service.routes) + length(service.queue_arns) > 0])
    error_message = "one of services must have routes or queue_arns, or nothing would wake the environment; got none in ${jsonencode(keys(var.services))}. Write the routes of a service that requests reach, or the queue_arns of a worker."
  }

  validation {
    condition     = alltrue([for service in var.services : service.shared ? length(service.routes) + length(service.queue_arns) + length(service.service_connect) == 0 : true])
    error_message = "a shared service must have no routes, queue_arns and service_connect, because it is not stopped, and what reaches it wakes nothing; these services have some: ${join(", ", [for key, service in var.services : key if service.shared && length(service.routes) + length(service.queue_arns) + length(service.service_connect) > 0])}. Leave them out, or leave shared out."
  }

  validation {
    condition     = alltrue([for service in var.services : length(service.routes) > 0 ? coalesce(service.required, true) : true])
    error_message = "required must be true or left out for a service with routes, because its wake rules go down only when it serves; it is false in these services: ${join(", ", [for key, service in var.services : key if length(service.routes) > 0 && !coalesce(service.required, true)])}. Leave it out."
  }

  validation {
    condition     = length(setsubtract(flatten(values(var.services)[*].start_after), concat(keys(var.services), keys(var.databases)))) == 0
    error_message = "start_after must name keys of services and databases; got ${jsonencode(setsubtract(flatten(values(var.services)[*].start_after), concat(keys(var.services), keys(var.databases))))}. Write some of ${jsonencode(concat(keys(var.services), keys(var.databases)))}: the keys, not the names of the services and databases."
  }

  validation {
    condition     = length(setintersection(flatten(values(var.services)[*].start_after), [for key, service in var.services : key if !coalesce(service.required, true)])) == 0
    error_message = "start_after must not name a service with required = false, for which nobody waits; got ${join(", ", setintersection(flatten(values(var.services)[*].start_after), [for key, service in var.services : key if !coalesce(service.required, true)]))}. Leave it out of start_after, or leave its required out."
  }

  validation {
    condition     = length(setsubtract(keys(var.databases), flatten(values(var.services)[*].start_after))) == 0
    error_message = "each of databases must be in start_after of a service, or no service would wait until it is available; these are in none: ${join(", ", setsubtract(keys(var.databases), flatten(values(var.services)[*].start_after)))}. Write them in start_after of the services that use them; without services, leave databases out."
  }

  validation {
    condition     = alltrue([for arn in flatten(values(var.services)[*].queue_arns) : can(regex("^arn:[^:]+:sqs:[^:]+:[0-9]{12}:[a-zA-Z0-9_-]{1,80}([.]fifo)?$", arn))])
    error_message = "queue_arns must hold the ARNs of SQS queues; got ${jsonencode(flatten(values(var.services)[*].queue_arns))}. Write the arn of an aws_sqs_queue, not its id or url."
  }

  # An alarm stands in one region and account, and the region and account of the others come from one ARN.
  validation {
    condition     = length(distinct([for arn in flatten([for service in var.services : concat(service.queue_arns, values(service.routes)[*].target_group_arns)]) : try(join(":", slice(split(":", arn), 3, 5)), "")])) <= 1
    error_message = "queue_arns and target_group_arns of services must be of one region and account, those of the cluster; got ${jsonencode(distinct([for arn in flatten([for service in var.services : concat(service.queue_arns, values(service.routes)[*].target_group_arns)]) : try(join(":", slice(split(":", arn), 3, 5)), "")]))}. Leave out the queues of other regions and accounts."
  }

  validation {
    condition     = alltrue([for key in flatten([for service in var.services : keys(service.routes)]) : can(regex("^[a-z][a-z0-9-]{0,19}$", key))])
    error_message = "the keys of a service's routes must be 1 to 20 lower-case letters, digits and hyphens, and begin with a letter; got ${jsonencode(flatten([for service in var.services : keys(service.routes)]))}. Write for example apex, www and http."
  }

  # An alarm's name ends with the keys, joined by hyphens.
  validation {
    condition     = length(distinct(flatten([for key, service in var.services : concat([for name in keys(service.routes) : "${key}-${name}"], [for name in service.service_connect[*].discovery_name : "connect-${key}-${name}"])]))) == length(flatten([for key, service in var.services : concat([for name in keys(service.routes) : "${key}-${name}"], [for name in service.service_connect[*].discovery_name : "connect-${key}-${name}"])]))
    error_message = "the key of a service, joined by a hyphen with the key of a route or the discovery_name of service_connect, must be there once, because the names of alarms end with it; got ${jsonencode(flatten([for key, service in var.services : concat([for name in keys(service.routes) : "${key}-${name}"], [for name in service.service_connect[*].discovery_name : "connect-${key}-${name}"])]))}. Rename a route, or leave out a discovery_name that is there twice."
  }

  validation {
    condition     = alltrue(flatten([for service in var.services : [for route in service.routes : length(route.target_group_arns) > 0]]))
    error_message = "target_group_arns must hold at least one ARN in each route of services; these routes have none: ${join(", ", flatten([for key, service in var.services : [for name, route in service.routes : "${key}/${name}" if length(route.target_group_arns) == 0]]))}. Write [aws_lb_target_group.NAME.arn], the group that the route's rule forwards to."
  }
}

variable "databases" {
  description = "RDS instances and Aurora clusters of the environment, by keys of your choice: started before the `services` that name them in `start_after`, and stopped after `stop_after_minutes` of sleep; a shared one is started and not stopped."
  type = map(object({
    db_instance_identifier = optional(string)
    db_cluster_identifier  = optional(string)
    stop_after_minutes     = optional(number, 120)
    deadline_minutes       = optional(number, 30)
    shared                 = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(var.databases) <= 10
    error_message = "databases must have at most 10 keys; got ${length(var.databases)}. Divide them between two environments, each with a module of its own."
  }

  validation {
    condition     = alltrue([for key in keys(var.databases) : can(regex("^[a-z][a-z0-9-]{0,15}$", key))])
    error_message = "the keys of databases must be 1 to 16 lower-case letters, digits and hyphens, and begin with a letter; got ${jsonencode(keys(var.databases))}. Write for example main."
  }

  validation {
    condition     = alltrue([for database in var.databases : (database.db_instance_identifier == null) != (database.db_cluster_identifier == null)])
    error_message = "each of databases must have either db_instance_identifier or db_cluster_identifier; these do not: ${join(", ", [for key, database in var.databases : key if(database.db_instance_identifier == null) == (database.db_cluster_identifier == null)])}. Write the identifier of an aws_db_instance, or the cluster_identifier of an aws_rds_cluster, whose instances start and stop with it."
  }

  # RDS keeps identifiers in lower case: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
  validation {
    condition     = alltrue([for database in var.databases : can(regex("^[a-z](-?[a-z0-9]){0,62}$", try(coalesce(database.db_instance_identifier, database.db_cluster_identifier), "none")))])
    error_message = "an identifier of databases must be 1 to 63 lower-case letters, digits and hyphens, as RDS stores it; got ${jsonencode([for database in var.databases : try(coalesce(database.db_instance_identifier, database.db_cluster_identifier), null)])}. Write the identifier, not the ARN or the endpoint."
  }

  validation {
    condition     = length(distinct([for database in var.databases : try(coalesce(database.db_instance_identifier, database.db_cluster_identifier), null)])) == length(var.databases)
    error_message = "databases must name each database once; got ${jsonencode([for database in var.databases : try(coalesce(database.db_instance_identifier, database.db_cluster_identifier), null)])}. Leave out what is there twice, and write its key in each start_after."
  }

  validation {
    condition     = alltrue([for database in var.databases : database.stop_after_minutes >= 1 && floor(database.stop_after_minutes) == database.stop_after_minutes])
    error_message = "stop_after_minutes must be a whole number, 1 or more; it is not in these databases: ${join(", ", [for key, database in var.databases : key if !(database.stop_after_minutes >= 1 && floor(database.stop_after_minutes) == database.stop_after_minutes)])}. Leave it out for 120: a start takes minutes, which a short sleep is not worth."
  }

  validation {
    condition     = alltrue([for database in var.databases : database.deadline_minutes >= 1 && database.deadline_minutes <= 1440 && floor(database.deadline_minutes) == database.deadline_minutes])
    error_message = "deadline_minutes must be a whole number from 1 to 1440; it is not in these databases: ${join(", ", [for key, database in var.databases : key if !(database.deadline_minutes >= 1 && database.deadline_minutes <= 1440 && floor(database.deadline_minutes) == database.deadline_minutes)])}. Leave it out for 30: most databases start within that."
  }
}

# ---------------------------------------------------------------------------------------------
# Who may wake it
# ---------------------------------------------------------------------------------------------

variable "wake_policy" {
  description = "Requests that match these rules do not wake the service and get `answer` instead: `ignore_also` adds rules before the default list `ignore`."
  type = object({
    ignore_also = optional(list(object({
      class         = string
      answer        = optional(string, "asleep")
      methods       = optional(list(string), [])
      paths         = optional(list(string), [])
      user_agents   = optional(list(string), [])
      source_ranges = optional(list(string), [])
    })), [])
    ignore = optional(list(object({
      class         = string
      answer        = optional(string, "asleep")
      methods       = optional(list(string), [])
      paths         = optional(list(string), [])
      user_agents   = optional(list(string), [])
      source_ranges = optional(list(string), [])
    })))
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for class in concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].class : can(regex("^[a-z][a-z-]{0,30}$", class))])
    error_message = "wake_policy: a class must be 1 to 31 lower-case letters and -, beginning with a letter, because the log groups requests by it; got ${jsonencode(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].class)}. Write for example \"monitors\"."
  }

  validation {
    condition     = alltrue([for answer in concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].answer : contains(["asleep", "not-found", "unavailable", "wake"], answer)])
    error_message = "wake_policy: an answer must be asleep, not-found, unavailable or wake; got ${jsonencode(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].answer)}. Leave it out to have asleep."
  }

  validation {
    condition     = alltrue([for rule in concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, [])) : length(concat(rule.methods, rule.paths, rule.user_agents, rule.source_ranges)) > 0])
    error_message = "wake_policy: a rule must have methods, paths, user_agents or source_ranges, or it would match every request, and nobody could wake the service; got none in ${jsonencode([for rule in concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, [])) : rule.class if length(concat(rule.methods, rule.paths, rule.user_agents, rule.source_ranges)) == 0])}. Write for example paths = [\"/healthz\"]."
  }

  validation {
    condition     = alltrue([for method in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].methods) : can(regex("^[A-Z-]{1,40}$", method))])
    error_message = "wake_policy: methods must be HTTP methods in capitals; got ${jsonencode(distinct(flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].methods)))}. Write for example [\"GET\", \"HEAD\"]."
  }

  validation {
    condition     = alltrue([for path in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].paths) : can(regex("^[/*]", path))])
    error_message = "wake_policy: paths must begin with / or *; got ${jsonencode([for path in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].paths) : path if !can(regex("^[/*]", path))])}. Write for example \"/healthz\" or \"*/healthz\"."
  }

  validation {
    condition     = alltrue([for agent in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].user_agents) : length(trimspace(agent)) >= 3])
    error_message = "wake_policy: user_agents must be parts of the header of at least 3 characters, because shorter texts also occur in the user agents of browsers, and an empty one always does; got ${jsonencode([for agent in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].user_agents) : agent if length(trimspace(agent)) < 3])}. Write for example \"UptimeRobot/\"."
  }

  validation {
    condition     = alltrue([for range in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].source_ranges) : can(cidrhost(range, 0))])
    error_message = "wake_policy: source_ranges must be CIDR blocks; got ${jsonencode([for range in flatten(concat(var.wake_policy.ignore_also, coalesce(var.wake_policy.ignore, []))[*].source_ranges) : range if !can(cidrhost(range, 0))])}. Write for example \"203.0.113.0/24\", and \"203.0.113.7/32\" for one address."
  }

  # A DynamoDB item holds 400 KB, and the page in the same item may have 300,000 bytes.
  validation {
    condition     = length(base64encode(jsonencode(var.wake_policy))) * 3 / 4 <= 100000
    error_message = "wake_policy must be at most 100,000 bytes as JSON; got ${floor(length(base64encode(jsonencode(var.wake_policy))) * 3 / 4)}. Write wider source_ranges, or move long lists of addresses to AWS WAF."
  }
}

# ---------------------------------------------------------------------------------------------
# What a browser shows meanwhile
# ---------------------------------------------------------------------------------------------

variable "page" {
  description = "The waiting page: title, colours, logo, texts by language, or `html` for a whole page of your own (docs/guide/page.md)."
  type = object({
    title         = optional(string)
    accent        = optional(string)
    accent_dark   = optional(string)
    logo_data_uri = optional(string)
    texts         = optional(map(map(string)), {})
    html          = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.page.title == null ? true : can(regex("^\\S(.{0,98}\\S)?$", var.page.title))
    error_message = "page.title must be 1 to 100 characters on one line, with no space at its ends; got \"${coalesce(var.page.title, "null")}\". Leave it out to use the module's name."
  }

  validation {
    condition     = alltrue([for colour in [var.page.accent, var.page.accent_dark] : colour == null ? true : can(regex("^#[0-9a-fA-F]{6}$", colour))])
    error_message = "page.accent and page.accent_dark must be colours like \"#0055aa\"; got ${jsonencode([var.page.accent, var.page.accent_dark])}."
  }

  validation {
    condition     = (var.page.accent == null) == (var.page.accent_dark == null)
    error_message = "page.accent and page.accent_dark must be set together, or one of the two schemes keeps the default colour; got ${jsonencode([var.page.accent, var.page.accent_dark])}. For dark, write a lighter shade of the same colour."
  }

  # Graphics that carry meaning need a contrast of 3:1. The luminance is computed by sRGB's curve without its linear
  # part near black: https://www.w3.org/WAI/WCAG22/Understanding/non-text-contrast.html
  validation {
    condition     = try(sum([for at, weight in { "1" = 0.2126, "3" = 0.7152, "5" = 0.0722 } : weight * pow((parseint(substr(var.page.accent, tonumber(at), 2), 16) / 255 + 0.055) / 1.055, 2.4)]) <= 0.28, true)
    error_message = "page.accent must be darker: on the light ground its contrast is below 3:1; got \"${coalesce(var.page.accent, "null")}\", whose relative luminance is above 0.28. Write a darker shade of it."
  }

  validation {
    condition     = try(sum([for at, weight in { "1" = 0.2126, "3" = 0.7152, "5" = 0.0722 } : weight * pow((parseint(substr(var.page.accent_dark, tonumber(at), 2), 16) / 255 + 0.055) / 1.055, 2.4)]) >= 0.13, true)
    error_message = "page.accent_dark must be lighter: on the dark ground its contrast is below 3:1; got \"${coalesce(var.page.accent_dark, "null")}\", whose relative luminance is below 0.13. Write a lighter shade of it."
  }

  validation {
    condition     = var.page.logo_data_uri == null ? true : can(regex("^data:image/(png|jpeg|gif|webp|avif|svg[+]xml);base64,[A-Za-z0-9+/]+={0,2}$", var.page.logo_data_uri))
    error_message = "page.logo_data_uri must be a picture in base64, because the page loads nothing; got \"${substr(coalesce(var.page.logo_data_uri, "null"), 0, 40)}\". Write for example \"data:image/svg+xml;base64,$${filebase64(\"logo.svg\")}\"."
  }

  validation {
    condition     = alltrue([for language in keys(var.page.texts) : can(regex("^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$", language))])
    error_message = "page.texts must have language tags as keys; got ${jsonencode(keys(var.page.texts))}. Write for example \"de\" or \"pt-BR\"."
  }

  validation {
    condition     = alltrue([for words in values(var.page.texts) : length(setsubtract(keys(words), local.page_text_keys)) == 0])
    error_message = "page.texts must have only keys that the page knows; got ${jsonencode(flatten([for words in values(var.page.texts) : setsubtract(keys(words), local.page_text_keys)]))}. The keys are those of lambda/texts.json: ${join(", ", local.page_text_keys)}."
  }

  validation {
    condition     = var.page.html == null ? true : can(regex("\\{\\{(status_url|look_again)\\}\\}", var.page.html))
    error_message = "page.html must contain {{status_url}}, for a script that requests the status, or {{look_again}}, for a page that reloads itself: with neither, the page never leads to the application. See docs/guide/page.md."
  }

  # A DynamoDB item holds 400 KB, and the wake policy is in the same item.
  validation {
    condition     = length(base64encode(jsonencode(var.page))) * 3 / 4 + 3000 * length(var.page.texts) <= 300000
    error_message = "page must be at most 300,000 bytes as JSON, plus 3,000 for each language of texts, which is stored completely; got ${floor(length(base64encode(jsonencode(var.page))) * 3 / 4 + 3000 * length(var.page.texts))}. Use a smaller image, also in html."
  }
}

# ---------------------------------------------------------------------------------------------
# When it falls asleep
# ---------------------------------------------------------------------------------------------

variable "idle_minutes" {
  description = "Minutes without a request after which the service becomes drowsy."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.idle_minutes >= 1 && var.idle_minutes <= 1440 && floor(var.idle_minutes) == var.idle_minutes
    error_message = "idle_minutes must be a whole number from 1 to 1440, because an alarm can cover at most one day; got ${var.idle_minutes}."
  }
}

variable "idle_request_threshold" {
  description = "A minute with fewer requests than this counts as idle."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.idle_request_threshold >= 1 && floor(var.idle_request_threshold) == var.idle_request_threshold
    error_message = "idle_request_threshold must be a whole number, 1 or more; got ${var.idle_request_threshold}. With 0 no minute would be idle, and the service would never sleep."
  }
}

variable "linger_seconds" {
  description = "How long a drowsy service keeps its tasks, in seconds; a request in that time costs no cold start."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.linger_seconds >= 30 && var.linger_seconds <= 3600 && floor(var.linger_seconds) == var.linger_seconds
    error_message = "linger_seconds must be a whole number from 30 to 3600; got ${var.linger_seconds}. A rule change may take some 10 s to reach all nodes of the load balancer, and below 30 s the tasks could stop earlier."
  }
}

variable "min_awake_minutes" {
  description = "Minutes that a service stays awake after a wake or a deployment; null means `idle_minutes` + 3, because CloudWatch is up to three minutes late."
  type        = number
  default     = null

  validation {
    condition     = var.min_awake_minutes == null ? true : var.min_awake_minutes >= var.idle_minutes + 3 && floor(var.min_awake_minutes) == var.min_awake_minutes
    error_message = "min_awake_minutes must be a whole number of at least idle_minutes + 3 (${var.idle_minutes + 3}), because CloudWatch sees a request up to three minutes late; got ${var.min_awake_minutes == null ? "null" : tostring(var.min_awake_minutes)}. Leave it out to use this minimum."
  }
}

variable "wake_budget_per_hour" {
  description = "How often the service may be woken within an hour before it stays awake, with a notice, until the first of those wakes is an hour old."
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.wake_budget_per_hour >= 1 && var.wake_budget_per_hour <= 10 && floor(var.wake_budget_per_hour) == var.wake_budget_per_hour
    error_message = "wake_budget_per_hour must be a whole number from 1 to 10, because the memory keeps 10 wakes; got ${var.wake_budget_per_hour}. Even with the shortest idle_minutes there are hardly more than 10 wakes an hour, so 10 is practically no limit."
  }
}

variable "heartbeat" {
  description = "Activity that the load balancer does not count, reported by `POST` to `path`; `token_parameter_arn` names an SSM SecureString with a bearer token, `route` the route that has the rule."
  type = object({
    enabled             = optional(bool, true)
    path                = optional(string, "/health")
    token_parameter_arn = optional(string)
    route               = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.heartbeat.route == null ? true : contains(keys(local.given_routes), var.heartbeat.route)
    error_message = "heartbeat.route must be one of ${jsonencode(keys(local.given_routes))}; got \"${var.heartbeat.route == null ? "null" : var.heartbeat.route}\". Write the key of the route on which the heartbeats come, or leave it out with a single route."
  }

  validation {
    condition     = length(local.given_routes) > 1 && var.heartbeat.enabled && !startswith(var.heartbeat.path, "${var.control_path}/") ? var.heartbeat.route != null : true
    error_message = "heartbeat.route must be set with several routes, because one of them gets the heartbeat rule; got null. Write one of ${jsonencode(keys(local.given_routes))}, put heartbeat.path below control_path, where it needs no rule and each route takes it, or set heartbeat.enabled = false."
  }

  validation {
    condition     = can(regex("^/[a-zA-Z0-9._~/-]{1,127}$", var.heartbeat.path))
    error_message = "heartbeat.path must begin with / and hold at most 127 letters, digits and . _ ~ / - after it, no wildcards; got \"${coalesce(var.heartbeat.path, "null")}\". Write for example \"/health\"."
  }

  # With a login, the page, GET status and POST wake are behind it, and heartbeats are not.
  validation {
    condition     = !contains([for path in ["", "status", "wake"] : "${var.control_path}/${path}"], var.heartbeat.path)
    error_message = "heartbeat.path must not be the path of the page, the status or the wake; got \"${coalesce(var.heartbeat.path, "null")}\". Write for example \"${var.control_path}/heartbeat\"."
  }

  validation {
    condition     = var.heartbeat.token_parameter_arn == null ? true : can(regex("^arn:[^:]+:ssm:[^:]+:[0-9]{12}:parameter/.+$", var.heartbeat.token_parameter_arn))
    error_message = "heartbeat.token_parameter_arn must be the ARN of an SSM parameter; got \"${coalesce(var.heartbeat.token_parameter_arn, "null")}\". Write the arn of an aws_ssm_parameter of type SecureString, not the token."
  }
}

variable "unseen_traffic" {
  description = "What to do about traffic that the module does not see, such as a second target group or Service Connect: \"stay_awake\", or \"ignore\" to let the service sleep."
  type        = string
  default     = "stay_awake"
  nullable    = false

  validation {
    condition     = contains(["stay_awake", "ignore"], var.unseen_traffic)
    error_message = "unseen_traffic must be \"stay_awake\" or \"ignore\"; got \"${var.unseen_traffic}\"."
  }
}

variable "service_connect" {
  description = "Names under which the service is called by ECS Service Connect; each gets an idle alarm on ECS's own RequestCount, so that the service may sleep."
  type = list(object({
    discovery_name = string
  }))
  default  = []
  nullable = false

  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceConnectService.html
  validation {
    condition     = alltrue([for name in concat(var.service_connect, local.services_connect)[*].discovery_name : can(regex("^[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}$", name))])
    error_message = "service_connect.discovery_name must be 1 to 64 letters, digits, underscores and hyphens, and not begin with a hyphen; got ${jsonencode(concat(var.service_connect, local.services_connect)[*].discovery_name)}. Write the discoveryName of the service's Service Connect configuration, or the portName if it has none."
  }

  validation {
    condition     = length(var.services) > 0 ? length(var.service_connect) == 0 : true
    error_message = "service_connect must be left out with services; got ${jsonencode(var.service_connect[*].discovery_name)}. Write it as service_connect of a service."
  }

  validation {
    condition     = length(distinct(var.service_connect[*].discovery_name)) == length(var.service_connect)
    error_message = "service_connect must name each discovery_name once; got ${jsonencode(var.service_connect[*].discovery_name)}. Leave out what is there twice."
  }
}

variable "schedule" {
  description = "Hours in which the service is kept awake, and hours in which it is closed: requests do not wake it then. Hours without `days` are those of every day; hours that end before they begin end on the next day. On dates in `except` no awake hours begin."
  type = object({
    time_zone = string
    awake = optional(list(object({
      days = optional(list(string), ["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
      from = string
      to   = string
    })), [])
    closed = optional(list(object({
      days = optional(list(string), ["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
      from = string
      to   = string
    })), [])
    except = optional(list(string), [])
  })
  default = null

  validation {
    condition     = var.schedule == null ? true : can(local.time_zones[var.schedule.time_zone])
    error_message = "schedule.time_zone must be one of the names in lambda/time-zones.json; got \"${try(var.schedule.time_zone == null ? "null" : var.schedule.time_zone, "")}\". Write an IANA name like \"Europe/Berlin\", or \"UTC\". A zone whose clock changes follow no yearly rule is not there: write one with the same offset, like \"Etc/GMT-2\" for two hours ahead of UTC."
  }

  validation {
    condition     = var.schedule == null ? true : length(concat(var.schedule.awake, var.schedule.closed)) > 0
    error_message = "schedule must have hours in awake or closed; got none. Write for example awake = [{ days = [\"mon\"], from = \"08:55\", to = \"18:00\" }], or leave schedule out."
  }

  validation {
    condition     = alltrue([for hours in try(concat(var.schedule.awake, var.schedule.closed), []) : length(hours.days) > 0 && length(setsubtract(hours.days, local.weekdays)) == 0])
    error_message = "schedule: days must be some of ${join(", ", local.weekdays)}; got ${jsonencode(try(concat(var.schedule.awake, var.schedule.closed)[*].days, []))}. Leave days out for every day."
  }

  validation {
    condition     = alltrue([for hours in try(concat(var.schedule.awake, var.schedule.closed), []) : can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", hours.from)) && can(regex("^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", hours.to))])
    error_message = "schedule: from must be a time from \"00:00\" to \"23:59\", and to one up to \"24:00\"; got ${jsonencode([for hours in try(concat(var.schedule.awake, var.schedule.closed), []) : [hours.from, hours.to]])}. Write two digits for hours and minutes, like \"08:55\"."
  }

  validation {
    condition     = alltrue([for hours in try(concat(var.schedule.awake, var.schedule.closed), []) : hours.from != hours.to])
    error_message = "schedule: from and to must differ; got ${jsonencode([for hours in try(concat(var.schedule.awake, var.schedule.closed), []) : hours.from if hours.from == hours.to])}. For a whole day write from = \"00:00\" and to = \"24:00\"."
  }

  validation {
    condition     = alltrue([for day in try(var.schedule.except, []) : can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", day)) && can(formatdate("YYYY", "${day}T00:00:00Z"))])
    error_message = "schedule.except must be dates; got ${jsonencode(try(var.schedule.except, []))}. Write them like \"2026-12-25\"."
  }

  # Nobody but a command could wake a service that is always closed. Hours that end before they begin end on the next
  # day: ((to - from) in minutes, less 1) modulo a day, and 1.
  validation {
    condition     = try(sum([for hours in var.schedule.closed : length(distinct(hours.days)) * ((sum([for part, minutes in [60, 1] : minutes * (tonumber(split(":", hours.to)[part]) - tonumber(split(":", hours.from)[part]))]) + 1439) % 1440 + 1)]) < 7 * 1440, true)
    error_message = "schedule.closed must be fewer than 168 hours a week, with no hour counted twice; got ${jsonencode(try(var.schedule.closed, []))}. Leave some hours open, or set the count to 0 and leave the module out."
  }
}

variable "suspend_autoscaling" {
  description = "Suspend the service's Application Auto Scaling, if it has any, while the service is drowsy or asleep; its minimum, maximum and policies stay as they are."
  type        = bool
  default     = true
  nullable    = false
}

variable "restore_on_destroy" {
  description = "Wake the service and leave it up when the module is destroyed; false leaves it as it is."
  type        = bool
  default     = true
  nullable    = false
}

# ---------------------------------------------------------------------------------------------
# Notices, dashboard, log, and the function
# ---------------------------------------------------------------------------------------------

variable "transition_notices" {
  description = "Notify the topic of every sleep and every wake; false sends only what needs attention."
  type        = bool
  default     = true
  nullable    = false
}

variable "notification_emails" {
  description = "E-mail addresses to subscribe to the topic; each gets a mail with a link to confirm."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.notification_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "notification_emails must be e-mail addresses; got ${jsonencode(var.notification_emails)}. Write for example [\"team@example.com\"]."
  }
}

variable "dashboard_enabled" {
  description = "Create a CloudWatch dashboard, which costs 3 USD a month from the fourth in an account."
  type        = bool
  default     = false
  nullable    = false
}

variable "task_price_per_hour" {
  description = "Price of one task for an hour in USD, from which the dashboard computes savings; the default is 0.25 vCPU and 0.5 GB on Fargate in us-east-1 on 2026-11-23."
  type        = number
  default     = 0.01234
  nullable    = false

  validation {
    condition     = var.task_price_per_hour >= 0 && var.task_price_per_hour <= 100
    error_message = "task_price_per_hour must be from 0 to 100 USD; got ${var.task_price_per_hour}. Compute it as vCPUs times the price of a vCPU-hour plus GB times the price of a GB-hour, for example 0.01234."
  }
}

variable "log_retention_days" {
  description = "Number of days for which the Lambda's log is kept."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a retention that CloudWatch Logs supports (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653); got ${var.log_retention_days}."
  }
}

variable "memory_size" {
  description = "Memory of the Lambda in MB; below 512, its share of a CPU delays the first request."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.memory_size >= 256 && var.memory_size <= 10240 && floor(var.memory_size) == var.memory_size
    error_message = "memory_size must be a whole number of MB from 256 to 10240; got ${var.memory_size}. At 128 MB the start alone takes seconds."
  }
}

variable "lambda_architecture" {
  description = "Instruction set of the Lambda: \"arm64\", or \"x86_64\" in a region without arm64."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.lambda_architecture)
    error_message = "lambda_architecture must be \"arm64\" or \"x86_64\"; got \"${var.lambda_architecture}\"."
  }
}

variable "role_path" {
  description = "Path of the Lambda's role, for an account that requires one."
  type        = string
  default     = "/"
  nullable    = false

  # https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
  validation {
    condition     = can(regex("^/([!-~]+/)?$", var.role_path)) && length(var.role_path) <= 512
    error_message = "role_path must begin and end with / and hold at most 512 printable ASCII characters, no spaces; got \"${var.role_path}\". Write for example \"/warmkeeper/\"."
  }
}

variable "role_permissions_boundary" {
  description = "ARN of a permissions boundary for the Lambda's role, which must allow what the role needs (docs/technical/threats.md)."
  type        = string
  default     = null

  validation {
    condition     = var.role_permissions_boundary == null ? true : can(regex("^arn:[^:]+:iam::(aws|[0-9]{12}):policy/.+$", var.role_permissions_boundary))
    error_message = "role_permissions_boundary must be the ARN of an IAM policy; got \"${coalesce(var.role_permissions_boundary, "null")}\". Write the arn of an aws_iam_policy."
  }
}

variable "kms_key_arn" {
  description = "KMS key for the topic, the table and the log; null means AWS's own keys, at no cost."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key; got \"${coalesce(var.kms_key_arn, "null")}\". Write the arn of an aws_kms_key, not an alias."
  }
}

variable "checks_enabled" {
  description = "Read the service rule, its load balancer and the target group during a plan, and warn about mismatches; false requires `parked_rule_priority`."
  type        = bool
  default     = true
  nullable    = false
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false
}
