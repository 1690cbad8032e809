# A plan warns about mismatches around the module that would lose requests or cost money. Preconditions in
# main.tf use the same data, and refuse a change that would harm a running service or could not be applied.
# The data sources stand beside the checks, and not in them, so that a plan is empty: the reasons, and what
# a plan cannot see, are in docs/technical/ecs-scale-to-zero.md (Terraform) and in
# docs/guide/configuration.md (What a plan checks).
#
# The data sources use the credentials of Terraform (elasticloadbalancing:Describe*). Their resources must
# exist. Set checks_enabled = false without that right, or if a resource was deleted.

locals {
  checks_on_listener = var.checks_enabled && local.listener_path

  # Null if the checks are off. An attribute that AWS does not return is null, too.
  service_rule  = one(data.aws_lb_listener_rule.service)
  listener      = one(data.aws_lb_listener.service)
  load_balancer = one(data.aws_lb.service)
  target_group  = one(data.aws_lb_target_group.service)
  target_type   = try(coalesce(local.target_group.target_type), "")

  # 0 if the checks are off: no rule has that number.
  service_rule_priority = try(coalesce(local.service_rule.priority), 0)

  # A rule without a path condition matches every path, and a rule without a host condition matches every
  # host. Host names ignore case. The values of a condition with regular expressions are null. A block
  # within a condition is an object or null with provider 5, and a list with 6: [*] makes a list of either.
  service_rule_hosts = local.service_rule == null ? [] : flatten([
    for condition in local.service_rule.condition : [for host in condition.host_header[*] : host.values == null ? [] : tolist(host.values)]
  ])
  service_rule_paths = local.service_rule == null ? [] : flatten([
    for condition in local.service_rule.condition : [for path in condition.path_pattern[*] : path.values == null ? [] : tolist(path.values)]
  ])
  hosts_found = toset(contains(local.service_rule_hosts, "*") ? [] : [for host in local.service_rule_hosts : lower(host)])
  hosts_given = toset(contains(var.conditions.host_header, "*") ? [] : [for host in var.conditions.host_header : lower(host)])
  paths_found = toset(length(local.service_rule_paths) == 0 ? ["/*"] : [for path in local.service_rule_paths : path == "*" ? "/*" : path])
  paths_given = toset([for path in var.conditions.path_pattern : path == "*" ? "/*" : path])
  other_conditions_found = local.service_rule == null ? [] : compact(flatten([
    for condition in local.service_rule.condition : [
      length(condition.http_header[*]) == 0 ? "" : "http_header",
      length(condition.http_request_method[*]) == 0 ? "" : "http_request_method",
      length(condition.query_string[*]) == 0 ? "" : "query_string",
      length(condition.source_ip[*]) == 0 ? "" : "source_ip",
    ]
  ]))

  # Provider 5 does not know regular expressions: it returns such a condition without values.
  regex_conditions_found = local.service_rule == null ? [] : compact(flatten([
    for condition in local.service_rule.condition : [
      alltrue([for host in condition.host_header[*] : length(host.values == null ? [] : tolist(host.values)) > 0]) ? "" : "host_header",
      alltrue([for path in condition.path_pattern[*] : length(path.values == null ? [] : tolist(path.values)) > 0]) ? "" : "path_pattern",
    ]
  ]))

  # Provider 6 returns transforms; provider 5 does not.
  transforms_found = try([for transform in local.service_rule.transform : transform.type], [])

  service_rule_actions = local.service_rule == null ? [] : local.service_rule.action[*].type
  only_forwards        = alltrue([for type in local.service_rule_actions : type == "forward"])

  # The parts of the service rule that the WebSocket rule cannot repeat, so that an upgrade would bypass them.
  websocket_bypasses = compact([
    local.only_forwards ? "" : "has the actions ${jsonencode(local.service_rule_actions)}",
    length(local.other_conditions_found) == 0 ? "" : "has a condition of ${jsonencode(local.other_conditions_found)}",
    length(local.regex_conditions_found) == 0 ? "" : "matches ${jsonencode(local.regex_conditions_found)} by regular expressions",
    length(local.transforms_found) == 0 ? "" : "has the transforms ${jsonencode(local.transforms_found)}",
  ])
  service_rule_groups = local.service_rule == null ? [] : flatten([
    for action in local.service_rule.action : [for forward in action.forward[*] : [for group in forward.target_group : group.arn if group.weight != 0]]
  ])
  default_groups = local.listener == null ? [] : flatten([
    for action in local.listener.default_action : concat(
      [action.target_group_arn],
      [for forward in action.forward : forward.target_group[*].arn],
    )
  ])
  foreign_load_balancers = try(setsubtract(local.target_group.load_balancer_arns, [local.load_balancer_arn]), toset([]))

  matches_everything = length(local.hosts_given) == 0 && contains(local.paths_given, "/*")

  # A new target waits one interval for its first check, and is healthy when it passes. The interval may be a
  # sixth of cold_start_target_seconds (10 s of 60), but 5 s is always allowed, because AWS has no shorter one.
  interval_seconds       = try(coalesce(one(local.target_group.health_check).interval), 0)
  most_interval_seconds  = max(5, floor(var.cold_start_target_seconds / 6))
  usual_drain_seconds    = 300 # AWS's default
  deregistration_seconds = try(coalesce(tonumber(local.target_group.deregistration_delay)), 0)

  # A held request must be answered before the load balancer closes the idle connection.
  idle_timeout_seconds       = try(coalesce(local.load_balancer.idle_timeout), 60) # AWS's default
  least_idle_timeout_seconds = var.hold_seconds + 10

  # The findings in the warmkeeper's answer to the last apply that changed the module, with particulars.
  wiring_found = try({ for finding, particulars in jsondecode(aws_lambda_invocation.this.result).wiring : finding => tostring(particulars) }, {})
}

data "aws_lb_listener_rule" "service" {
  count = local.checks_on_listener ? 1 : 0

  arn = var.service_rule_arn
}

data "aws_lb_listener" "service" {
  count = local.checks_on_listener ? 1 : 0

  arn = local.listener_arn
}

data "aws_lb" "service" {
  count = local.checks_on_listener ? 1 : 0

  arn = local.load_balancer_arn
}

data "aws_lb_target_group" "service" {
  count = var.checks_enabled ? 1 : 0

  arn = local.target_group_arn
}

check "service_rule" {
  assert {
    condition     = length(local.service_rule_groups) == 0 || contains(local.service_rule_groups, local.target_group_arn)
    error_message = "service_rule_arn: the rule forwards to ${jsonencode(local.service_rule_groups)}, and not to target_group_arns (${local.target_group_arn}). Write the rule and the target group of the same service; otherwise the wake rule follows the traffic of one service and takes the requests of the other."
  }

  assert {
    condition     = local.service_rule == null || contains(local.regex_conditions_found, "host_header") || local.hosts_found == local.hosts_given
    error_message = "conditions.host_header is ${jsonencode(local.hosts_given)}; the service rule has ${jsonencode(local.hosts_found)}. Write exactly the rule's hosts: while the service sleeps, requests for a host that only the rule has get 503, and requests for a host that only conditions has are taken from other services. (If this apply also changes the rule, this warning is about the old rule.)"
  }

  assert {
    condition     = local.service_rule == null || contains(local.regex_conditions_found, "path_pattern") || local.paths_found == local.paths_given
    error_message = "conditions.path_pattern is ${jsonencode(local.paths_given)}; the service rule has ${jsonencode(local.paths_found)}. Write exactly the rule's paths: while the service sleeps, requests for a path that only the rule has get 503, and requests for a path that only conditions has are taken from other services. (If this apply also changes the rule, this warning is about the old rule.)"
  }

  assert {
    condition     = length(local.other_conditions_found) == 0
    error_message = "service_rule_arn: the rule has a condition of ${jsonencode(local.other_conditions_found)}, which the wake rule cannot have: while the service sleeps, the wake rule would take requests that the service rule leaves to other rules. Let the service rule match by host_header and path_pattern only."
  }

  assert {
    condition     = length(local.regex_conditions_found) == 0
    error_message = "service_rule_arn: the rule matches ${jsonencode(local.regex_conditions_found)} by regular expressions, which the wake rule cannot have: while the service sleeps, requests that only the service rule matches get 503, and requests that only the wake rule matches are taken from other services. Let the service rule match by values (host names and path patterns with * and ?), and write them in conditions."
  }

  assert {
    condition     = length(local.transforms_found) == 0
    error_message = "service_rule_arn: the rule has the transforms ${jsonencode(local.transforms_found)}. AWS applies them to requests by this rule, and not to requests by the module's rules: the warmkeeper sees and repeats the client's own host and path. If you want that, ignore this warning; otherwise remove the transforms, and let the application serve the original paths."
  }

  assert {
    condition     = local.service_rule == null || coalesce(var.rule_priority, 1) + local.rules_before_wake < local.service_rule_priority
    error_message = "rule_priority is ${coalesce(var.rule_priority, 1)}; with the ${local.rules_before_wake} numbers after it, it must be below the service rule's priority, which is ${local.service_rule_priority}, or the wake rule cannot stand before that rule. Write the first of ${local.rules_before_wake + 1} free numbers below ${local.service_rule_priority}."
  }
}

# A default action comes after every rule, so the wake rule cannot be placed behind it.
check "default_action" {
  assert {
    condition     = local.matches_everything || !contains(local.default_groups, local.target_group_arn)
    error_message = "the listener's default action forwards to target_group_arns as well: requests that conditions does not match reach the service by the default action, and get 503 while the service sleeps. Give the listener another default action, such as a fixed 404 response, and let the service rule match all requests for the service."
  }
}

check "target_group" {
  assert {
    condition     = local.interval_seconds <= local.most_interval_seconds
    error_message = "target_group_arns: health_check.interval is ${local.interval_seconds} s, the time that a new task waits for its first check. For a cold start of ${var.cold_start_target_seconds} s (cold_start_target_seconds) write at most ${local.most_interval_seconds}, preferably 5, and set health_check_grace_period_seconds on the service; or raise cold_start_target_seconds."
  }

  assert {
    condition     = local.deregistration_seconds < local.usual_drain_seconds
    error_message = "target_group_arns: deregistration_delay is ${local.deregistration_seconds} s, and every stopped task runs and is billed for that time. Write the duration of your longest request, for example 15."
  }
}

check "load_balancer" {
  assert {
    condition     = local.idle_timeout_seconds >= local.least_idle_timeout_seconds
    error_message = "the load balancer's idle_timeout is ${local.idle_timeout_seconds} s, and requests are held for ${var.hold_seconds} s (hold_seconds): a held request may get 504 instead of its answer. Set idle_timeout of the aws_lb to at least ${local.least_idle_timeout_seconds}; 60 is the default."
  }
}

check "unseen_traffic" {
  assert {
    condition     = var.unseen_traffic == "ignore" || length(local.foreign_load_balancers) == 0
    error_message = "target_group_arns: the target group is also used by another load balancer (${join(", ", local.foreign_load_balancers)}). The module does not see its requests: they do not wake the service, and get 503 while it sleeps. Give that load balancer its own target group, or set unseen_traffic = \"ignore\" if it gets no requests."
  }
}

# The warmkeeper sees rules, tasks and targets that no data source returns. Its answer is from the last
# apply that changed the module, so a finding may be resolved already.
check "wiring" {
  assert {
    condition     = length(local.wiring_found) == 0
    error_message = "the warmkeeper has found: ${join("; ", [for finding, particulars in local.wiring_found : "${finding} (${particulars})"])}. This was found during the last apply that changed the module. The command doctor reports the current findings and the remedies: docs/guide/operating.md."
  }
}
