# What is around the module, and would cost requests or money: seen while planning, told as a warning,
# and never an error. The data sources stand beside the checks and not in them: one within a check is
# read again by every apply, and makes every plan a change (`plan -detailed-exitcode` 2, Terraform
# 1.11; https://github.com/hashicorp/terraform/issues/35226). So a check sees what was there when the
# plan was made; what the same apply mends it sees the next time.
#
# They run as Terraform's caller (elasticloadbalancing:Describe*), who has read rules and target groups
# anyway to make those of the module. What they look at has to exist, as everywhere in Terraform:
# checks_enabled = false is for a caller who may not look, or for an ARN of what is gone.
#
# Not seen here: desired_count without ignore_changes, which is in the caller's configuration alone, and
# the service's grace period, which no data source of provider 5 tells: the command doctor does.

locals {
  checks_on_listener = var.checks_enabled && local.listener_path

  # Null where nothing is looked at.
  service_rule = one(data.aws_lb_listener_rule.service)
  listener     = one(data.aws_lb_listener.service)
  target_group = one(data.aws_lb_target_group.service)

  # A rule without a path condition matches every path, and so does one for every host. Host names know
  # no case. Compact, because a condition that matches by regular expressions has no values.
  service_rule_hosts = local.service_rule == null ? [] : compact(flatten([for condition in local.service_rule.condition : condition.host_header[*].values]))
  service_rule_paths = local.service_rule == null ? [] : compact(flatten([for condition in local.service_rule.condition : condition.path_pattern[*].values]))
  hosts_found        = toset(contains(local.service_rule_hosts, "*") ? [] : [for host in local.service_rule_hosts : lower(host)])
  hosts_given        = toset(contains(var.conditions.hosts, "*") ? [] : [for host in var.conditions.hosts : lower(host)])
  paths_found        = toset(length(local.service_rule_paths) == 0 ? ["/*"] : [for path in local.service_rule_paths : path == "*" ? "/*" : path])
  paths_given        = toset([for path in var.conditions.paths : path == "*" ? "/*" : path])
  other_conditions_found = local.service_rule == null ? [] : compact(flatten([
    for condition in local.service_rule.condition : [
      condition.http_header == null ? "" : "http_header",
      condition.http_request_method == null ? "" : "http_request_method",
      condition.query_string == null ? "" : "query_string",
      condition.source_ip == null ? "" : "source_ip",
    ]
  ]))

  service_rule_actions = local.service_rule == null ? [] : local.service_rule.action[*].type
  service_rule_groups = local.service_rule == null ? [] : flatten([
    for action in local.service_rule.action : [for forward in action.forward[*] : [for group in forward.target_group : group.arn if group.weight != 0]]
  ])
  default_groups = local.listener == null ? [] : flatten([
    for action in local.listener.default_action : concat(
      [action.target_group_arn],
      [for forward in action.forward : forward.target_group[*].arn],
    )
  ])
  matches_everything = length(local.hosts_given) == 0 && contains(local.paths_given, "/*")

  # A new target is live at its first passed check, for which it waits an interval (the timeout is
  # shorter than that, or AWS refuses it): a sixth of what the whole cold start may take, 10 s of 60.
  # 5 s is the least that there is.
  health_check           = try(one(local.target_group.health_check), null)
  most_interval_seconds  = max(5, floor(var.cold_start_target_seconds / 6))
  usual_drain_seconds    = 300 # AWS's default, which nobody chose
  deregistration_seconds = try(tonumber(local.target_group.deregistration_delay), 0)
}

data "aws_lb_listener_rule" "service" {
  count = local.checks_on_listener ? 1 : 0

  arn = var.service_rule_arn
}

data "aws_lb_listener" "service" {
  count = local.checks_on_listener ? 1 : 0

  arn = local.listener_arn
}

data "aws_lb_target_group" "service" {
  count = var.checks_enabled ? 1 : 0

  arn = var.target_group_arn
}

check "service_rule" {
  assert {
    condition     = length(local.service_rule_groups) == 0 || contains(local.service_rule_groups, var.target_group_arn)
    error_message = "service_rule_arn: the rule forwards to ${jsonencode(local.service_rule_groups)}, and not to target_group_arn (${var.target_group_arn}). Write the rule and the target group of the same service, or the one would be put in the way of the other."
  }

  assert {
    condition     = local.service_rule == null || local.hosts_found == local.hosts_given
    error_message = "conditions.hosts is ${jsonencode(local.hosts_given)}; the service rule has ${jsonencode(local.hosts_found)}. Write the rule's hosts, exactly: requests for a host that only one of the two has get 503 while the service sleeps, or are taken from somebody else. (Where this apply changes the rule as well, this is about the rule before.)"
  }

  assert {
    condition     = local.service_rule == null || local.paths_found == local.paths_given
    error_message = "conditions.paths is ${jsonencode(local.paths_given)}; the service rule has ${jsonencode(local.paths_found)}. Write the rule's paths, exactly: requests for a path that only one of the two has get 503 while the service sleeps, or are taken from somebody else. (Where this apply changes the rule as well, this is about the rule before.)"
  }

  assert {
    condition     = length(local.other_conditions_found) == 0
    error_message = "service_rule_arn: the rule has a condition of ${jsonencode(local.other_conditions_found)}, which the wake rule cannot have: while the service sleeps it would take requests that the rule leaves to others. Let the rule match by host_header and path_pattern alone."
  }

  assert {
    condition     = local.service_rule == null || coalesce(var.rule_priority, 1) + local.rules_before_wake < try(local.service_rule.priority, 0)
    error_message = "rule_priority is ${coalesce(var.rule_priority, 1)}; with the ${local.rules_before_wake} numbers after it, it must be below the service rule's, which is ${try(local.service_rule.priority, 0)}, or the wake rule does not stand before it. Write the first of ${local.rules_before_wake + 1} free numbers below ${try(local.service_rule.priority, 0)}."
  }
}

# A default action comes after every rule, so that no wake rule can stand before it.
check "default_action" {
  assert {
    condition     = local.matches_everything || !contains(local.default_groups, var.target_group_arn)
    error_message = "the listener's default action forwards to target_group_arn as well: requests that conditions does not match reach the service past its rule, and get 503 while it sleeps. Give the listener another default action, such as a fixed response of 404, and the service rule what it should serve."
  }
}

check "target_group" {
  assert {
    condition     = local.target_group == null || try(local.target_group.target_type, "") == "ip"
    error_message = "target_group_arn: the target group's target_type is \"${try(local.target_group.target_type, "")}\". The warmkeeper knows a task by its address: make it \"ip\", which is what network mode awsvpc needs."
  }

  assert {
    condition     = local.health_check == null || try(local.health_check.interval, 0) <= local.most_interval_seconds
    error_message = "target_group_arn: health_check.interval is ${try(local.health_check.interval, 0)} s, which a new task waits for its first check. For a cold start of ${var.cold_start_target_seconds} s (cold_start_target_seconds) write at most ${local.most_interval_seconds}, best 5, and health_check_grace_period_seconds on the service with it; or set a higher target."
  }

  assert {
    condition     = local.deregistration_seconds < local.usual_drain_seconds
    error_message = "target_group_arn: deregistration_delay is ${local.deregistration_seconds} s, for which every task that is put to sleep runs on and is billed. Write what your longest request takes, for example 15."
  }
}
