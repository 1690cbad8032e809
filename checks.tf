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

  # By route, and empty if the checks are off. An attribute that AWS does not return is null.
  service_rules = { for key, rule in data.aws_lb_listener_rule.service : key => rule }

  # 0 if the number is not known: no rule has that number. The module's own service rule is the last of the
  # route's block.
  service_rule_priorities = {
    for key, route in local.routes : key => route.create_service_rule ? route.rule_priority + route.rules_before_wake + 1 : try(coalesce(local.service_rules[key].priority), 0)
  }

  # A block within a condition is an object or null with provider 5, and a list with 6: [*] makes a list of
  # either. The values of a condition with regular expressions are null.
  values_found = {
    for key, rule in local.service_rules : key => {
      host_header         = flatten([for condition in rule.condition : [for host in condition.host_header[*] : host.values == null ? [] : tolist(host.values)]])
      path_pattern        = flatten([for condition in rule.condition : [for path in condition.path_pattern[*] : path.values == null ? [] : tolist(path.values)]])
      http_header         = flatten([for condition in rule.condition : condition.http_header[*]])
      http_request_method = flatten([for condition in rule.condition : [for method in condition.http_request_method[*] : tolist(method.values)]])
      query_string        = [for pairs in flatten([for condition in rule.condition : condition.query_string[*]]) : tolist(pairs.values)]
      source_ip           = flatten([for condition in rule.condition : [for source in condition.source_ip[*] : tolist(source.values)]])
    }
  }
  values_given = {
    for key in keys(local.service_rules) : key => merge(local.routes[key].conditions, {
      query_string = [for pairs in [local.routes[key].conditions.query_string] : pairs if length(pairs) > 0]
    })
  }

  # What the load balancer compares. A rule without a path condition matches every path, and a rule without
  # a host condition matches every host. Everything but paths, methods and addresses ignores case. A header's
  # value may be a secret, such as CloudFront's: its hash stands here, and is not shown.
  conditions_compared = {
    for side, routes in { found = local.values_found, given = local.values_given } : side => {
      for key, values in routes : key => {
        host_header         = sort(distinct(contains(values.host_header, "*") ? [] : [for host in values.host_header : lower(host)]))
        path_pattern        = sort(distinct(length(values.path_pattern) == 0 ? ["/*"] : [for path in values.path_pattern : path == "*" ? "/*" : path]))
        http_header         = sort([for header in values.http_header : jsonencode([lower(header.http_header_name), nonsensitive(sha256(jsonencode(sort([for value in header.values : lower(value)]))))])])
        http_request_method = sort(distinct(values.http_request_method))
        query_string        = sort([for pairs in values.query_string : join(" or ", sort([for pair in pairs : lower("${pair.key == null ? "" : "${pair.key}="}${pair.value}")]))])
        source_ip           = sort(distinct(values.source_ip))
      }
    }
  }

  conditions_shown = {
    for side, routes in local.conditions_compared : side => {
      for key, values in routes : key => merge(values, { http_header = [for header in values.http_header : jsondecode(header)[0]] })
    }
  }

  # Provider 5 does not know regular expressions: it returns such a condition without values.
  regex_conditions_found = {
    for key in keys(local.routes) : key => flatten([
      for condition in try(local.service_rules[key].condition, []) : compact([
        alltrue([for host in condition.host_header[*] : length(host.values == null ? [] : tolist(host.values)) > 0]) ? "" : "host_header",
        alltrue([for path in condition.path_pattern[*] : length(path.values == null ? [] : tolist(path.values)) > 0]) ? "" : "path_pattern",
      ])
    ])
  }

  # Before a rule is made, a plan sees it without conditions, and does not know its priority: the last condition
  # leaves the comparison to the apply.
  condition_mismatches = flatten([
    for key, values in local.conditions_compared.found : [
      for kind, found in values : { route = key, kind = kind }
      if jsonencode(found) != jsonencode(local.conditions_compared.given[key][kind]) && length(local.regex_conditions_found[key]) == 0 && local.service_rule_priorities[key] >= 0
    ]
  ])

  late_wake_rules = {
    for key, route in local.given_service_rules : key => route
    if contains(keys(local.service_rules), key) && route.rule_priority + route.rules_before_wake >= local.service_rule_priorities[key]
  }

  # Provider 6 returns transforms; provider 5 does not.
  transforms_found = {
    for key, rule in local.service_rules : key => try([for transform in rule.transform : transform.type], [])
  }
  service_rule_actions = { for key, rule in local.service_rules : key => rule.action[*].type }

  # The parts of the service rule that the WebSocket rule cannot repeat, so that an upgrade would bypass them.
  websocket_bypasses = {
    for key in keys(local.routes) : key => compact([
      for bypass in [
        [for actions in [lookup(local.service_rule_actions, key, [])] : "has the actions ${jsonencode(actions)}" if anytrue([for type in actions : !contains(concat(["forward"], local.route_logins[key][*].type), type)])],
        [for transforms in [lookup(local.transforms_found, key, [])] : "has the transforms ${jsonencode(transforms)}" if length(transforms) > 0],
      ] : join("", bypass)
    ])
  }

  # The target groups that a service rule forwards to now, and the rules that forward to none of the wired.
  service_rule_groups = {
    for key, rule in local.service_rules : key => flatten([
      for action in rule.action : [for forward in action.forward[*] : [for group in forward.target_group : group.arn if group.weight != 0]]
    ])
  }
  strange_rules = {
    for key, groups in local.service_rule_groups : key => groups
    if length(groups) > 0 && length(setintersection(groups, local.member_target_group_arns[local.routes[key].member])) == 0
  }

  # The default action of each route's listener.
  default_actions = { for key, listener in data.aws_lb_listener.service : key => listener.default_action }
  default_groups = {
    for key in keys(local.routes) : key => distinct(compact(flatten([
      for action in lookup(local.default_actions, key, []) : concat(
        [action.target_group_arn],
        [for forward in action.forward : forward.target_group[*].arn],
      )
    ])))
  }

  # A new rule would not ask for the login that such an action asks for, unless the route has it too.
  default_logins = {
    for key in keys(local.routes) : key => [
      for action in lookup(local.default_actions, key, []) : action.type if !contains(concat(["forward", "redirect", "fixed-response"], local.route_logins[key][*].type), action.type)
    ]
  }

  listener_protocols = { for key in keys(local.routes) : key => try(coalesce(data.aws_lb_listener.service[key].protocol), "HTTPS") }

  # A session counts for the rules with the client, the scope and the cookie of the login that it came from.
  logins_found = {
    for key, actions in merge(
      { for key, rule in local.service_rules : key => rule.action },
      { for key, rule in aws_lb_listener_rule.service : key => rule.action },
      ) : key => flatten([
        for action in actions : concat(
          [for login in try(action.authenticate_cognito, null)[*] : { client = login.user_pool_client_id, scope = login.scope, session_cookie_name = login.session_cookie_name }],
          [for login in try(action.authenticate_oidc, null)[*] : { client = login.client_id, scope = login.scope, session_cookie_name = login.session_cookie_name }],
        )
    ])
  }
  logins_given = {
    for key in keys(local.routes) : key => [
      for login in local.route_logins[key] : { client = try(login.client_id, login.user_pool_client_id), scope = login.scope, session_cookie_name = login.session_cookie_name }
    ]
  }

  # As with conditions, a plan sees a rule that is not made yet without actions, and leaves it to the apply.
  login_mismatches = [
    for key, found in local.logins_found : key
    if jsonencode(found) != jsonencode(local.logins_given[key]) && local.service_rule_priorities[key] >= 0
  ]

  # Routes that match every request of their listener, and those that one which is made here would cover.
  catch_all_routes = [
    for key, route in local.routes : key
    if(length(route.conditions.host_header) == 0 || contains(route.conditions.host_header, "*"))
    && length(setintersection(route.conditions.path_pattern, ["*", "/*"])) > 0
    && length(route.conditions.http_header) == 0
    && length(route.conditions.http_request_method) == 0
    && length(route.conditions.query_string) == 0
    && length(route.conditions.source_ip) == 0
  ]
  covered_routes = {
    for key, route in local.created_service_rules : key => [
      for other, its in local.routes : other
      if contains(local.catch_all_routes, key) && its.listener_arn == route.listener_arn && its.rule_priority > route.rule_priority
    ]
  }

  # The routes whose listener serves the service by its default action, too.
  default_served_routes = [
    for key, route in local.routes : key
    if length(setintersection(local.default_groups[key], values(local.target_groups))) > 0
    && !anytrue([for other in local.catch_all_routes : local.routes[other].listener_arn == route.listener_arn])
  ]

  taskless_target_types = {
    for key, group in data.aws_lb_target_group.service : key => group.target_type if contains(["alb", "lambda"], coalesce(group.target_type, "ip"))
  }
  foreign_load_balancers = {
    for key, group in data.aws_lb_target_group.service : key => try(setsubtract(group.load_balancer_arns, [local.load_balancer_arn]), toset([]))
  }
  shared_target_groups = { for key, arns in local.foreign_load_balancers : key => arns if length(arns) > 0 }

  # A new target waits one interval for its first check, and is healthy when it passes. The interval may be a
  # sixth of cold_start_target_seconds (10 s of 60), but 5 s is always allowed, because AWS has no shorter one.
  interval_seconds      = { for key, group in data.aws_lb_target_group.service : key => try(coalesce(one(group.health_check).interval), 0) }
  most_interval_seconds = max(5, floor(var.cold_start_target_seconds / 6))
  long_intervals        = { for key, seconds in local.interval_seconds : key => seconds if seconds > local.most_interval_seconds }

  usual_drain_seconds    = 300 # AWS's default
  deregistration_seconds = { for key, group in data.aws_lb_target_group.service : key => try(coalesce(tonumber(group.deregistration_delay)), 0) }
  long_drains            = { for key, seconds in local.deregistration_seconds : key => seconds if seconds >= local.usual_drain_seconds }

  # A held request must be answered before the load balancer closes the idle connection.
  load_balancer              = one(data.aws_lb.service)
  idle_timeout_seconds       = try(coalesce(local.load_balancer.idle_timeout), 60) # AWS's default
  least_idle_timeout_seconds = var.hold_seconds + 10

  # The findings in the warmkeeper's answer to the last apply that changed the module, with particulars.
  wiring_found = try({ for finding, particulars in jsondecode(aws_lambda_invocation.this.result).wiring : finding => tostring(particulars) }, {})
}

data "aws_lb_listener_rule" "service" {
  for_each = local.checks_on_listener ? local.given_service_rules : {}

  arn = each.value.service_rule_arn
}

data "aws_lb_listener" "service" {
  for_each = local.checks_on_listener ? local.routes : {}

  arn = each.value.listener_arn
}

data "aws_lb" "service" {
  count = local.checks_on_listener ? 1 : 0

  arn = local.load_balancer_arn
}

data "aws_lb_target_group" "service" {
  for_each = var.checks_enabled ? local.target_groups : {}

  arn = each.value
}

check "service_rule" {
  assert {
    condition     = length(local.strange_rules) == 0
    error_message = join(" ", [for key, groups in local.strange_rules : "${local.routes[key].field}service_rule_arn: the rule forwards to ${jsonencode(groups)}, and not to target_group_arns (${join(", ", local.routes[key].target_group_arns)}). Write the rule and the target group of the same service; otherwise the wake rule follows the traffic of one service and takes the requests of the other."])
  }

  assert {
    condition     = length(local.condition_mismatches) == 0
    error_message = join(" ", [for each in local.condition_mismatches : "${local.routes[each.route].field}conditions.${each.kind} is ${jsonencode(local.conditions_shown.given[each.route][each.kind])}; the service rule has ${jsonencode(local.conditions_shown.found[each.route][each.kind])}. Write exactly the rule's values: while the service sleeps, requests that only the rule matches get 503, and requests that only conditions matches are taken from other services. (If this apply also changes the rule, this warning is about the old rule.)"])
  }

  assert {
    condition     = length(flatten(values(local.transforms_found))) == 0
    error_message = join(" ", [for key, transforms in local.transforms_found : "${local.routes[key].field}service_rule_arn: the rule has the transforms ${jsonencode(transforms)}. AWS applies them to requests by this rule, and not to requests by the module's rules: the warmkeeper sees and repeats the client's own host and path. If you want that, ignore this warning; otherwise remove the transforms, and let the application serve the original paths." if length(transforms) > 0])
  }

  assert {
    condition     = length(local.late_wake_rules) == 0
    error_message = join(" ", [for key, route in local.late_wake_rules : "${route.field}rule_priority is ${route.rule_priority}; with the ${route.rules_before_wake} numbers after it, it must be below the service rule's priority, which is ${local.service_rule_priorities[key]}, or the wake rule cannot stand before that rule. Write the first of ${route.rules_before_wake + 1} free numbers below ${local.service_rule_priorities[key]}."])
  }
}

# The login of the wake rule is that of the service rule, with the same sessions.
check "login" {
  assert {
    condition     = length([for key in local.login_mismatches : key if length(local.logins_given[key]) == 0]) == 0
    error_message = join(" ", [for key in local.login_mismatches : "${local.routes[key].field}service_rule_arn: the rule asks for a login (client ${join(", ", local.logins_found[key][*].client)}), and the wake rule does not: whoever may not enter the service can wake it. Write the rule's action as authenticate_cognito or authenticate_oidc." if length(local.logins_given[key]) == 0])
  }

  assert {
    condition     = length([for key in local.login_mismatches : key if length(local.logins_found[key]) == 0]) == 0
    error_message = join(" ", [for key in local.login_mismatches : "${local.routes[key].field}${local.login_fields[key]}: the service rule asks for no login, so the awake service does not either. ${local.routes[key].create_service_rule ? "Make the rule anew (terraform apply -replace, docs/guide/configuration.md#login)." : "Give the service rule the same action, or leave it out here."}" if length(local.logins_found[key]) == 0])
  }

  assert {
    condition     = length([for key in local.login_mismatches : key if length(local.logins_given[key]) > 0 && length(local.logins_found[key]) > 0]) == 0
    error_message = join(" ", [for key in local.login_mismatches : "${local.routes[key].field}${local.login_fields[key]} has ${jsonencode(local.logins_given[key])}; the service rule has ${jsonencode(local.logins_found[key])}. A session of one is none for the other, so clients are asked to log in again and again. ${local.routes[key].create_service_rule ? "Make the rule anew (terraform apply -replace, docs/guide/configuration.md#login)." : "Write exactly the rule's client, scope and session_cookie_name. (If this apply also changes the rule, this warning is about the old rule.)"}" if length(local.logins_given[key]) > 0 && length(local.logins_found[key]) > 0])
  }
}

# A default action comes after every rule, so the wake rule cannot be placed behind it.
check "default_action" {
  assert {
    condition     = length(local.default_served_routes) == 0
    error_message = join(" ", [for key in local.default_served_routes : "${local.routes[key].field}conditions: the listener's default action forwards to the service (${join(", ", local.default_groups[key])}) as well: requests that conditions does not match reach the service by the default action, and get 503 while the service sleeps. ${local.routes[key].create_service_rule ? "Leave conditions out, so that the rule matches every request." : "Let the module make a rule for them (create_service_rule), or give the listener another default action, such as a fixed 404 response, and let the service rule match all requests for the service."}"])
  }
}

check "target_group" {
  assert {
    condition     = length(local.long_intervals) == 0
    error_message = join(" ", [for key, seconds in local.long_intervals : "${local.target_group_fields[key]}: health_check.interval is ${seconds} s, the time that a new task waits for its first check. For a cold start of ${var.cold_start_target_seconds} s (cold_start_target_seconds) write at most ${local.most_interval_seconds}, preferably 5, and set health_check_grace_period_seconds on the service; or raise cold_start_target_seconds."])
  }

  assert {
    condition     = length(local.long_drains) == 0
    error_message = join(" ", [for key, seconds in local.long_drains : "${local.target_group_fields[key]}: deregistration_delay is ${seconds} s, and every stopped task runs and is billed for that time. Write the duration of your longest request, for example 15."])
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
    condition     = var.unseen_traffic == "ignore" || length(local.shared_target_groups) == 0
    error_message = join(" ", [for key, arns in local.shared_target_groups : "${local.target_group_fields[key]}: the target group is also used by another load balancer (${join(", ", arns)}). The module does not see its requests: they do not wake the service, and get 503 while it sleeps. Give that load balancer its own target group, or set unseen_traffic = \"ignore\" if it gets no requests."])
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
