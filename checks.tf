# What is around the module, and would cost requests or money: seen while planning, and told as a
# warning. What would harm a running service at once, or could not be made, is refused by preconditions
# in main.tf, which look at the same. The data sources stand beside the checks and not in them: one within a check is
# read again by every apply, and makes every plan a change (`plan -detailed-exitcode` 2, Terraform
# 1.11; https://github.com/hashicorp/terraform/issues/35226). So a check sees what was there when the
# plan was made; what the same apply mends it sees the next time.
#
# They run as Terraform's caller (elasticloadbalancing:Describe*), who has read rules and target groups
# anyway to make those of the module. What they look at has to exist, as everywhere in Terraform:
# checks_enabled = false is for a caller who may not look, or for an ARN of what is gone.
#
# Not seen here: other rules of the listener, because no data source lists them; desired_count without ignore_changes, which is in the caller's configuration alone, and
# the service's grace period, which no data source of provider 5 tells: the command doctor does.

locals {
  checks_on_listener = var.checks_enabled && local.listener_path

  # Null where nothing is looked at, and so is an attribute that AWS does not tell.
  service_rule  = one(data.aws_lb_listener_rule.service)
  listener      = one(data.aws_lb_listener.service)
  load_balancer = one(data.aws_lb.service)
  target_group  = one(data.aws_lb_target_group.service)
  target_type   = try(coalesce(local.target_group.target_type), "")

  # 0 where nothing is looked at: no rule has that number.
  service_rule_priority = try(coalesce(local.service_rule.priority), 0)

  # A rule without a path condition matches every path, and so does one for every host. Host names know
  # no case. A condition that matches by regular expressions has null for values. A block within a
  # condition is an object or null with provider 5, and a list with 6: [*] makes lists of both.
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

  # Provider 5 does not know regular expressions: it tells such a condition without values.
  regex_conditions_found = local.service_rule == null ? [] : compact(flatten([
    for condition in local.service_rule.condition : [
      alltrue([for host in condition.host_header[*] : length(host.values == null ? [] : tolist(host.values)) > 0]) ? "" : "host_header",
      alltrue([for path in condition.path_pattern[*] : length(path.values == null ? [] : tolist(path.values)) > 0]) ? "" : "path_pattern",
    ]
  ]))

  # Provider 5 does not tell transforms; 6 does.
  transforms_found = try([for transform in local.service_rule.transform : transform.type], [])

  service_rule_actions = local.service_rule == null ? [] : local.service_rule.action[*].type
  only_forwards        = alltrue([for type in local.service_rule_actions : type == "forward"])

  # What the service rule does and the WebSocket rule cannot: an upgrade would get round it.
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

  # A new target is live at its first passed check, for which it waits an interval (the timeout is
  # shorter than that, or AWS refuses it): a sixth of what the whole cold start may take, 10 s of 60.
  # 5 s is the least that there is.
  interval_seconds       = try(coalesce(one(local.target_group.health_check).interval), 0)
  most_interval_seconds  = max(5, floor(var.cold_start_target_seconds / 6))
  usual_drain_seconds    = 300 # AWS's default, which nobody chose
  deregistration_seconds = try(coalesce(tonumber(local.target_group.deregistration_delay)), 0)

  # A held request has to be answered before the load balancer takes its connection for dead.
  idle_timeout_seconds       = try(coalesce(local.load_balancer.idle_timeout), 60) # AWS's default
  least_idle_timeout_seconds = var.hold_seconds + 10

  # Of the warmkeeper's answer to the last apply that changed the module: particulars by finding.
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
    error_message = "service_rule_arn: the rule forwards to ${jsonencode(local.service_rule_groups)}, and not to target_group_arns (${local.target_group_arn}). Write the rule and the target group of the same service, or the one would be put in the way of the other."
  }

  assert {
    condition     = local.service_rule == null || contains(local.regex_conditions_found, "host_header") || local.hosts_found == local.hosts_given
    error_message = "conditions.host_header is ${jsonencode(local.hosts_given)}; the service rule has ${jsonencode(local.hosts_found)}. Write the rule's hosts, exactly: requests for a host that only one of the two has get 503 while the service sleeps, or are taken from somebody else. (Where this apply changes the rule as well, this is about the rule before.)"
  }

  assert {
    condition     = local.service_rule == null || contains(local.regex_conditions_found, "path_pattern") || local.paths_found == local.paths_given
    error_message = "conditions.path_pattern is ${jsonencode(local.paths_given)}; the service rule has ${jsonencode(local.paths_found)}. Write the rule's paths, exactly: requests for a path that only one of the two has get 503 while the service sleeps, or are taken from somebody else. (Where this apply changes the rule as well, this is about the rule before.)"
  }

  assert {
    condition     = length(local.other_conditions_found) == 0
    error_message = "service_rule_arn: the rule has a condition of ${jsonencode(local.other_conditions_found)}, which the wake rule cannot have: while the service sleeps it would take requests that the rule leaves to others. Let the rule match by host_header and path_pattern alone."
  }

  assert {
    condition     = length(local.regex_conditions_found) == 0
    error_message = "service_rule_arn: the rule matches ${jsonencode(local.regex_conditions_found)} by regular expressions, which the wake rule cannot have: while the service sleeps, requests that match only one of the two get 503, or are taken from somebody else. Let the rule match by values (host names and path patterns with * and ?), and write them in conditions."
  }

  assert {
    condition     = length(local.transforms_found) == 0
    error_message = "service_rule_arn: the rule has the transforms ${jsonencode(local.transforms_found)}. They are applied to what reaches the service by this rule, and to nothing that the module's rules take: the warmkeeper sees and repeats the client's own host and path. Where that is what you want, go on; else let the application serve the paths as they come."
  }

  assert {
    condition     = local.service_rule == null || coalesce(var.rule_priority, 1) + local.rules_before_wake < local.service_rule_priority
    error_message = "rule_priority is ${coalesce(var.rule_priority, 1)}; with the ${local.rules_before_wake} numbers after it, it must be below the service rule's, which is ${local.service_rule_priority}, or the wake rule does not stand before it. Write the first of ${local.rules_before_wake + 1} free numbers below ${local.service_rule_priority}."
  }
}

# A default action comes after every rule, so that no wake rule can stand before it.
check "default_action" {
  assert {
    condition     = local.matches_everything || !contains(local.default_groups, local.target_group_arn)
    error_message = "the listener's default action forwards to target_group_arns as well: requests that conditions does not match reach the service past its rule, and get 503 while it sleeps. Give the listener another default action, such as a fixed response of 404, and the service rule what it should serve."
  }
}

check "target_group" {
  assert {
    condition     = local.interval_seconds <= local.most_interval_seconds
    error_message = "target_group_arns: health_check.interval is ${local.interval_seconds} s, which a new task waits for its first check. For a cold start of ${var.cold_start_target_seconds} s (cold_start_target_seconds) write at most ${local.most_interval_seconds}, best 5, and health_check_grace_period_seconds on the service with it; or set a higher target."
  }

  assert {
    condition     = local.deregistration_seconds < local.usual_drain_seconds
    error_message = "target_group_arns: deregistration_delay is ${local.deregistration_seconds} s, for which every task that is put to sleep runs on and is billed. Write what your longest request takes, for example 15."
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
    error_message = "target_group_arns: the target group hangs on another load balancer too (${join(", ", local.foreign_load_balancers)}). Its requests are not seen: nobody is woken by them, and while the service sleeps they get 503. Give that load balancer a target group of its own, or set unseen_traffic = \"ignore\" where nobody comes that way."
  }
}

# The warmkeeper sees rules, tasks and targets, which no data source tells. It answers an apply alone, so
# that this may be over.
check "wiring" {
  assert {
    condition     = length(local.wiring_found) == 0
    error_message = "the warmkeeper has found: ${join("; ", [for finding, particulars in local.wiring_found : "${finding} (${particulars})"])}. This is of the last apply that changed the module; what holds now is told by the command doctor, with the remedy: docs/guide/operating.md."
  }
}
