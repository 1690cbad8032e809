# The module puts an ECS Fargate service, or an environment of several, to sleep (desiredCount = 0) after
# idle_minutes without a request, and wakes it at the next request. One Lambda does both, the warmkeeper.
# While the service is not awake, a listener rule of the module, the wake rule, stands before the service's
# own rule and hands requests to that Lambda. While the service is awake, the wake rule stands behind the
# service rule, and requests do not pass through the module. While the service sleeps, the module costs
# under 1 USD a month: one short check a minute and a few alarms.

data "aws_partition" "current" {}

locals {
  function_name = "${var.name}-warmkeeper"

  # For descriptions. The names of a cluster and one service have at most 511 characters; several are cut there.
  service_label = substr("${var.cluster_name}/${join(", ", local.service_names)}", 0, 511)

  # Region and account come from the ARN of a target group, or of a queue. The region's data source has another
  # attribute in provider 5 (`name`) than in provider 6 (`region`).
  located_arn_fields = split(":", concat(values(local.target_groups), local.queue_arns)[0])
  partition          = data.aws_partition.current.partition
  region             = local.located_arn_fields[3]
  account_id         = local.located_arn_fields[4]

  alarm_path            = var.wake_path == "alarm"
  listener_path         = length(local.routes) > 0 # with queues alone there is neither path
  heartbeat_is_control  = startswith(var.heartbeat.path, "${var.control_path}/")
  heartbeat_wanted      = local.listener_path && var.heartbeat.enabled
  heartbeat_rule_wanted = local.heartbeat_wanted && !local.heartbeat_is_control
  heartbeat_tokens      = local.heartbeat_wanted ? var.heartbeat.token_parameter_arn[*] : [] # none or one
  min_awake_minutes     = coalesce(var.min_awake_minutes, var.idle_minutes + 3)

  # These ARNs are composed. The function needs the ARNs of the alarms, which refer to the function: reading
  # them from the resources would be a cycle.
  cluster_arn     = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:cluster/${var.cluster_name}"
  service_arns    = { for key, service in local.services : key => "arn:${local.partition}:ecs:${local.region}:${local.account_id}:service/${var.cluster_name}/${service.service_name}" }
  alarm_arn       = "arn:${local.partition}:cloudwatch:${local.region}:${local.account_id}:alarm"
  idle_alarm_arns = { for key, alarm in local.idle_alarms : key => "${local.alarm_arn}:${alarm.name}" }
  wake_alarm      = "${var.name}-wake"
  wake_alarm_arn  = "${local.alarm_arn}:${local.wake_alarm}"

  # What ARNs begin with, with * in the place of the service of AWS. In the function's environment this is
  # written once, because all variables together may have 4 KB.
  account_arn     = "arn:${local.partition}:*:${local.region}:${local.account_id}:"
  group_arn_start = "${replace(local.account_arn, "*", "elasticloadbalancing")}targetgroup/"
  rule_arn_start  = "${replace(local.account_arn, "*", "elasticloadbalancing")}listener-rule/"

  metric_namespace = "Warmkeeper"
}

# ---------------------------------------------------------------------------------------------
# Members: the services that sleep and wake together. The plain inputs are the member `this`.
# ---------------------------------------------------------------------------------------------

locals {
  environment_given = length(var.services) > 0

  plain_service = {
    service_name    = var.service_name
    routes          = length(var.routes) == 0 ? { this = local.plain_route } : var.routes
    start_after     = []
    required        = true
    shared          = false
    queue_arns      = []
    service_connect = var.service_connect
  }
  given_services = local.environment_given ? var.services : { this = local.plain_service }

  services = {
    for key, service in local.given_services : key => merge(service, {
      service_name = coalesce(service.service_name, key)
      required     = coalesce(service.required, true)
    })
  }
  service_names = values(local.services)[*].service_name

  # A shared member is started and not stopped, and nothing that it does keeps the others awake.
  stopped_services     = { for key, service in local.services : key => service if !service.shared }
  stopped_service_arns = [for key in keys(local.stopped_services) : local.service_arns[key]]

  # As the function reads them, without the fields that have their default.
  members = {
    for key, service in local.services : key => merge(
      service.service_name != key ? { service = service.service_name } : {},
      length(service.start_after) > 0 ? { start_after = service.start_after } : {},
      length(service.queue_arns) > 0 ? { queues = [for arn in service.queue_arns : trimprefix(arn, replace(local.account_arn, "*", "sqs"))] } : {},
      service.required ? {} : { required = false },
      service.shared ? { shared = true } : {},
    )
  }

  # By key. A queue's name is the last part of its ARN, arn:...:sqs:REGION:ACCOUNT:NAME.
  queues = merge([
    for key, service in local.services : {
      for index, arn in service.queue_arns : "queue/${key}/${index + 1}" => { arn = arn, name = replace(arn, "/^.*:/", "") }
    }
  ]...)
  queue_arns = distinct(values(local.queues)[*].arn)
}

# Databases start before the members that wait for them, and stop after a long sleep.
locals {
  database_names = { for key, database in var.databases : key => coalesce(database.db_instance_identifier, database.db_cluster_identifier) }
  instance_arns  = { for key, name in local.database_names : key => "arn:${local.partition}:rds:${local.region}:${local.account_id}:db:${name}" if var.databases[key].db_cluster_identifier == null }
  cluster_arns   = { for key, name in local.database_names : key => "arn:${local.partition}:rds:${local.region}:${local.account_id}:cluster:${name}" if var.databases[key].db_cluster_identifier != null }

  # A shared database is started and not stopped.
  stopped_instance_arns = [for key, arn in local.instance_arns : arn if !var.databases[key].shared]
  stopped_cluster_arns  = [for key, arn in local.cluster_arns : arn if !var.databases[key].shared]

  databases = {
    for key, database in var.databases : key => merge(
      database.db_cluster_identifier == null ? { instance = database.db_instance_identifier } : { cluster = database.db_cluster_identifier },
      database.stop_after_minutes != 120 ? { stop_after_minutes = database.stop_after_minutes } : {},
      database.deadline_minutes != 30 ? { deadline_minutes = database.deadline_minutes } : {},
      database.shared ? { shared = true } : {},
    )
  }
}

locals {
  # What a service waits for by one start_after, and by up to 2, 4, 8 and 16 of them in a row: ten services
  # have no longer row without a circle.
  waits_1  = { for key, service in local.services : key => [for name in service.start_after : name if contains(keys(local.services), name)] }
  waits_2  = { for key, names in local.waits_1 : key => distinct(concat(names, flatten([for name in names : local.waits_1[name]]))) }
  waits_4  = { for key, names in local.waits_2 : key => distinct(concat(names, flatten([for name in names : local.waits_2[name]]))) }
  waits_8  = { for key, names in local.waits_4 : key => distinct(concat(names, flatten([for name in names : local.waits_4[name]]))) }
  waits_16 = { for key, names in local.waits_8 : key => distinct(concat(names, flatten([for name in names : local.waits_8[name]]))) }

  start_cycle = [for key, names in local.waits_16 : key if contains(names, key)]

  # For the validations in variables.tf.
  services_routes = merge([
    for key, service in var.services : { for name, route in service.routes : "${key}/${name}" => route }
  ]...)
  services_connect = flatten(values(var.services)[*].service_connect)
}

# ---------------------------------------------------------------------------------------------
# Routes: how requests reach the members. The plain inputs are the route `this`.
# ---------------------------------------------------------------------------------------------

locals {
  plain_route = {
    service_rule_arn     = var.service_rule_arn
    create_service_rule  = var.create_service_rule
    listener_arn         = var.listener_arn
    rule_priority        = var.rule_priority
    parked_rule_priority = var.parked_rule_priority
    conditions           = var.conditions
    target_group_arns    = []
    websocket_rule       = var.websocket_rule
    authenticate_cognito = var.authenticate_cognito
    authenticate_oidc    = var.authenticate_oidc
  }

  # The keys of an environment's routes are MEMBER/ROUTE.
  given_routes = merge([
    for member, service in local.services : {
      for key, route in service.routes : local.environment_given ? "${member}/${key}" : key => merge(route, {
        member = member

        # The name of an input as the caller wrote it begins with this.
        field = local.environment_given ? "services[\"${member}\"].routes[\"${key}\"]." : length(var.routes) == 0 ? "" : "routes[\"${key}\"]."
      })
    }
  ]...)

  # The action of each route that asks for a login, or none.
  route_logins = {
    for key, route in local.given_routes : key => concat(
      [for login in route.authenticate_cognito[*] : merge(login, { type = "authenticate-cognito" })],
      [for login in route.authenticate_oidc[*] : merge(login, { type = "authenticate-oidc" })],
    )
  }
  oidc_routes = [for key, route in local.given_routes : key if route.authenticate_oidc != null]

  # The routes to which the caller has given a key.
  named_routes = toset([for key in keys(local.given_routes) : key if local.environment_given || length(var.routes) > 0])

  # Only keys, booleans and the lengths of lists decide which resources there are: Terraform must know that
  # when it plans, and an ARN may be unknown then.
  routes = {
    for key, route in local.given_routes : key => merge(route, {
      # The service rule's ARN is arn:...:listener-rule/app/NAME/ID/LISTENER/RULE, the listener's is
      # arn:...:listener/app/NAME/ID/LISTENER.
      listener_arn = route.create_service_rule ? route.listener_arn : replace(route.service_rule_arn, "/^(.*:listener)-rule(/.*)/[^/]+$/", "$1$2")

      # Number of fixed rules (control, heartbeat, login, WebSocket) before the wake rule when it is up.
      rules_before_wake = (route.websocket_rule ? 3 : 2) + (length(local.route_logins[key]) > 0 ? 1 : 0)

      # While the service is awake, the wake rule is parked far behind the service rule, to leave the next
      # numbers free.
      parked_rule_priority = coalesce(route.parked_rule_priority, 30000 + route.rule_priority)

      own_target_group_arns = route.target_group_arns
      target_group_arns     = length(route.target_group_arns) == 0 ? var.target_group_arns : route.target_group_arns
    }) if !local.alarm_path
  }
  first_route     = local.listener_path ? keys(local.routes)[0] : ""
  heartbeat_route = local.heartbeat_rule_wanted ? coalesce(var.heartbeat.route, local.first_route) : ""

  # The name of the input that asks for a login, for messages.
  login_fields = { for key, route in local.routes : key => route.authenticate_cognito == null ? "authenticate_oidc" : "authenticate_cognito" }

  # The service rules that the caller has made, and those that the module makes.
  given_service_rules   = { for key, route in local.routes : key => route if !route.create_service_rule }
  created_service_rules = { for key, route in local.routes : key => route if route.create_service_rule }

  # All routes are on one load balancer, whose ARN is arn:...:loadbalancer/app/NAME/ID.
  route_load_balancer_arns = {
    for key, route in local.routes : key => replace(route.listener_arn, "/^(.*):listener(/.*)/[^/]+$/", "$1:loadbalancer$2")
  }
  load_balancer_arn = local.alarm_path ? var.load_balancer_arn : lookup(local.route_load_balancer_arns, local.first_route, "")

  # The metric dimensions are the ends of the ARNs: targetgroup/NAME/ID and app/NAME/ID.
  load_balancer_dimension = replace(local.load_balancer_arn, "/^.*:loadbalancer//", "")
  target_group_dimensions = { for key, arn in local.target_groups : key => replace(arn, "/^.*:/", "") }

  # By key: the groups of the plain list, and those of each route.
  target_groups = merge(
    { for index, arn in var.target_group_arns : index == 0 ? "this" : "this/${index}" => arn },
    [for key, route in local.routes : {
      for index, arn in route.own_target_group_arns : "${key}/${index + 1}" => arn
    }]...
  )
  target_group_fields = merge(
    { for index, arn in var.target_group_arns : index == 0 ? "this" : "this/${index}" => "target_group_arns" },
    [for key, route in local.routes : {
      for index, arn in route.own_target_group_arns : "${key}/${index + 1}" => "${route.field}target_group_arns"
    }]...
  )

  # The groups of each member.
  member_target_group_arns = {
    for member in keys(local.services) : member => distinct(flatten([
      for route in local.routes : route.target_group_arns if route.member == member
    ]))
  }
}

# ---------------------------------------------------------------------------------------------
# Requests arrive at the listener's rules. Only the wake rules move, and only the warmkeeper moves them.
# ---------------------------------------------------------------------------------------------

locals {
  # The priority of each rule is the route's rule_priority + offset.
  fixed_rules = merge([
    for key, route in local.routes : {
      for role, rule in {
        # Status, health, wake and heartbeat requests of pages, monitors and proxies. With a login, health
        # and heartbeat alone: monitors and proxies have no session.
        control = { wanted = true, offset = 0 }

        heartbeat = { wanted = key == local.heartbeat_route, offset = 1 }

        # Behind a login, the rest of the control path.
        login = { wanted = length(local.route_logins[key]) > 0, offset = 2 }

        # A Lambda target does not support upgrades: the load balancer would answer 400 at the wake rule.
        # This rule stands before the wake rule and forwards upgrades to the service in every phase.
        websocket = { wanted = route.websocket_rule, offset = route.rules_before_wake - 1 }
      } : "${key}/${role}" => { route = key, role = role, offset = rule.offset } if rule.wanted
    }
  ]...)

  # Whoever may not reach the service may not wake it. The login stands on the wake rule, on the service rule
  # that the module makes, and on the other rules that lead to what a login guards. There a client gets 401 and
  # no redirect: the requests of a script and a WebSocket's handshake cannot show a login page.
  rule_logins = merge([
    for key, route in local.routes : {
      for role in ["control", "heartbeat", "login", "websocket", "wake"] : "${key}/${role}" => [
        for login in local.route_logins[key] : merge(login, {
          on_unauthenticated_request = role == "wake" || login.on_unauthenticated_request == "allow" ? login.on_unauthenticated_request : "deny"
        }) if !contains(["control", "heartbeat"], role)
      ]
    }
  ]...)
  paths_without_login = distinct(concat(
    ["${var.control_path}/health"],
    local.heartbeat_wanted ? [local.heartbeat_is_control ? var.heartbeat.path : "${var.control_path}/heartbeat"] : [],
  ))

  # For the same reason the conditions of the sender stand in each rule.
  sender_conditions = {
    for key, route in local.routes : key => {
      host_header         = route.conditions.host_header
      path_pattern        = []
      http_header         = route.conditions.http_header
      http_request_method = []
      query_string        = []
      source_ip           = route.conditions.source_ip
    }
  }

  # The conditions of each rule by its key. The service rule of a route has those of the wake rule.
  rule_conditions = merge([
    for key, route in local.routes : {
      "${key}/control" = merge(local.sender_conditions[key], {
        path_pattern = length(local.route_logins[key]) > 0 ? local.paths_without_login : ["${var.control_path}/*"]
      })

      "${key}/login" = merge(local.sender_conditions[key], { path_pattern = ["${var.control_path}/*"] })

      # The path belongs to the application, so the rule takes only POST requests.
      "${key}/heartbeat" = merge(local.sender_conditions[key], {
        path_pattern        = [var.heartbeat.path]
        http_request_method = ["POST"]
      })

      "${key}/websocket" = merge(route.conditions, {
        http_header = concat(route.conditions.http_header, [{ http_header_name = "Upgrade", values = ["websocket"] }])
      })

      "${key}/wake" = route.conditions
    }
  ]...)

  # A condition holds one of these kinds. Each is a list, of one if it is the condition's kind.
  no_condition = {
    host_header         = []
    path_pattern        = []
    http_header         = []
    http_request_method = []
    query_string        = []
    source_ip           = []
  }
  rule_condition_blocks = {
    for key, conditions in local.rule_conditions : key => concat(
      [
        for kind in ["host_header", "path_pattern", "http_request_method", "source_ip"] :
        merge(local.no_condition, { (kind) = [conditions[kind]] }) if length(conditions[kind]) > 0
      ],
      [for header in conditions.http_header : merge(local.no_condition, { http_header = [header] })],
      [for pairs in [conditions.query_string] : merge(local.no_condition, { query_string = pairs }) if length(pairs) > 0],
    )
  }

  # A rule takes five values and five wildcards over all its conditions:
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
  rule_value_counts = {
    for key, conditions in local.rule_conditions : key => sum(concat(
      [for header in conditions.http_header : length(header.values)],
      [for kind in ["host_header", "path_pattern", "http_request_method", "query_string", "source_ip"] : length(conditions[kind])],
    ))
  }

  # A header's value may be sensitive, and the number of its wildcards is not.
  rule_wildcards = {
    for key, conditions in local.rule_conditions : key => nonsensitive(length(regexall("[*?]", join("", concat(
      conditions.host_header,
      conditions.path_pattern,
      flatten(conditions.http_header[*].values),
      [for pair in conditions.query_string : "${pair.key == null ? "" : pair.key}=${pair.value}"],
    )))))
  }

  # The numbers that a route uses on its listener. The number of a rule that is not known is left out.
  route_numbers = {
    for key, route in local.routes : key => concat(
      range(route.rule_priority, route.rule_priority + route.rules_before_wake + 1),
      [for number in [local.service_rule_priorities[key]] : number if number != 0],
      [route.parked_rule_priority],
    )
  }
  shared_numbers = {
    for key, route in local.routes : key => distinct(flatten([
      for other, its in local.routes : setintersection(local.route_numbers[key], local.route_numbers[other])
      if other != key && its.listener_arn == route.listener_arn
    ]))
  }
}

resource "aws_lb_listener_rule" "fixed" {
  for_each = local.fixed_rules

  listener_arn = local.routes[each.value.route].listener_arn
  priority     = local.routes[each.value.route].rule_priority + each.value.offset

  dynamic "action" {
    for_each = local.rule_logins[each.key]

    content {
      type = action.value.type

      dynamic "authenticate_cognito" {
        for_each = [for login in [action.value] : login if login.type == "authenticate-cognito"]

        content {
          user_pool_arn                       = authenticate_cognito.value.user_pool_arn
          user_pool_client_id                 = authenticate_cognito.value.user_pool_client_id
          user_pool_domain                    = authenticate_cognito.value.user_pool_domain
          scope                               = authenticate_cognito.value.scope
          session_cookie_name                 = authenticate_cognito.value.session_cookie_name
          session_timeout                     = authenticate_cognito.value.session_timeout
          on_unauthenticated_request          = authenticate_cognito.value.on_unauthenticated_request
          authentication_request_extra_params = authenticate_cognito.value.authentication_request_extra_params
        }
      }

      dynamic "authenticate_oidc" {
        for_each = [for login in [action.value] : login if login.type == "authenticate-oidc"]

        content {
          authorization_endpoint              = authenticate_oidc.value.authorization_endpoint
          client_id                           = authenticate_oidc.value.client_id
          client_secret                       = var.authenticate_oidc_client_secrets[each.value.route]
          issuer                              = authenticate_oidc.value.issuer
          token_endpoint                      = authenticate_oidc.value.token_endpoint
          user_info_endpoint                  = authenticate_oidc.value.user_info_endpoint
          scope                               = authenticate_oidc.value.scope
          session_cookie_name                 = authenticate_oidc.value.session_cookie_name
          session_timeout                     = authenticate_oidc.value.session_timeout
          on_unauthenticated_request          = authenticate_oidc.value.on_unauthenticated_request
          authentication_request_extra_params = authenticate_oidc.value.authentication_request_extra_params
        }
      }
    }
  }

  action {
    type             = "forward"
    target_group_arn = each.value.role == "websocket" ? local.routes[each.value.route].target_group_arns[0] : aws_lb_target_group.warmkeeper["control"].arn
  }

  dynamic "condition" {
    for_each = local.rule_condition_blocks[each.key]

    content {
      dynamic "host_header" {
        for_each = condition.value.host_header

        content {
          values = host_header.value
        }
      }

      dynamic "path_pattern" {
        for_each = condition.value.path_pattern

        content {
          values = path_pattern.value
        }
      }

      dynamic "http_header" {
        for_each = condition.value.http_header

        content {
          http_header_name = http_header.value.http_header_name
          values           = http_header.value.values
        }
      }

      dynamic "http_request_method" {
        for_each = condition.value.http_request_method

        content {
          values = http_request_method.value
        }
      }

      dynamic "query_string" {
        for_each = condition.value.query_string

        content {
          key   = query_string.value.key
          value = query_string.value.value
        }
      }

      dynamic "source_ip" {
        for_each = condition.value.source_ip

        content {
          values = source_ip.value
        }
      }
    }
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = local.routes[each.value.route].rule_priority + each.value.offset != local.service_rule_priorities[each.value.route]
      error_message = "${local.routes[each.value.route].field}rule_priority: the ${each.value.role} rule's number (rule_priority + ${each.value.offset}) is ${local.service_rule_priorities[each.value.route]}, which the service rule (service_rule_arn) holds. Write the first of ${local.routes[each.value.route].rules_before_wake + 1} free numbers below ${local.service_rule_priorities[each.value.route]}. (If this apply also moves the service rule, move that rule in a separate apply first.)"
    }

    # The WebSocket rule cannot repeat the actions and transforms of the service rule.
    precondition {
      condition     = each.value.role == "websocket" ? length(local.websocket_bypasses[each.value.route]) == 0 : true
      error_message = "${local.routes[each.value.route].field}websocket_rule must be false: the service rule ${join(", and ", local.websocket_bypasses[each.value.route])}, and a request with \"Upgrade: websocket\" would bypass that in every phase. Leave websocket_rule out, or limit the service rule to a forward action, a login that the route has too, and no transforms."
    }

    # The WebSocket rule cannot follow a deployment that shifts the service rule to another group.
    precondition {
      condition     = each.value.role == "websocket" ? length(local.routes[each.value.route].target_group_arns) == 1 : true
      error_message = "${local.routes[each.value.route].field}websocket_rule must be false with ${length(local.routes[each.value.route].target_group_arns)} target groups: it forwards to one of them in every phase, also after a deployment has shifted the service rule to another. Leave websocket_rule out."
    }

    precondition {
      condition     = local.rule_value_counts[each.key] <= 5
      error_message = "${local.routes[each.value.route].field}conditions: the ${each.value.role} rule would have ${local.rule_value_counts[each.key]} values, and a rule takes 5. ${local.fewer_values[each.value.role]}"
    }

    precondition {
      condition     = local.rule_wildcards[each.key] <= 5
      error_message = "${local.routes[each.value.route].field}conditions: the ${each.value.role} rule would have ${local.rule_wildcards[each.key]} wildcards (* and ?), and a rule takes 5. Write some of the values out."
    }
  }
}

locals {
  # How to get below the five values, by the role of the rule that has more.
  fewer_values = {
    control   = "It has the values of host_header, http_header and source_ip, and control_path (with a login, the paths of health and heartbeat). Use a wildcard host, so that they are at most 4 (3 with a login)."
    login     = "It has the values of host_header, http_header and source_ip, and control_path. Use a wildcard host, so that they are at most 4."
    heartbeat = "It has the values of host_header, http_header and source_ip, heartbeat.path and its method. Use a wildcard host, so that they are at most 3, or put heartbeat.path below control_path, where it needs no rule."
    websocket = "It has all values of conditions, and the upgrade. Use a wildcard, so that conditions has at most 4, or leave websocket_rule out."
    wake      = "It has all values of conditions, path_pattern included. Use a wildcard, or divide the service rule into two, each with a route of its own."
  }
}

# A service rule for a service that the listener's default action serves: no rule can stand behind a default
# action. It forwards as the default action does, so that applying the module changes no answer.
resource "aws_lb_listener_rule" "service" {
  for_each = local.created_service_rules

  listener_arn = each.value.listener_arn
  priority     = local.service_rule_priorities[each.key]

  dynamic "action" {
    for_each = local.rule_logins["${each.key}/wake"]

    content {
      type = action.value.type

      dynamic "authenticate_cognito" {
        for_each = [for login in [action.value] : login if login.type == "authenticate-cognito"]

        content {
          user_pool_arn                       = authenticate_cognito.value.user_pool_arn
          user_pool_client_id                 = authenticate_cognito.value.user_pool_client_id
          user_pool_domain                    = authenticate_cognito.value.user_pool_domain
          scope                               = authenticate_cognito.value.scope
          session_cookie_name                 = authenticate_cognito.value.session_cookie_name
          session_timeout                     = authenticate_cognito.value.session_timeout
          on_unauthenticated_request          = authenticate_cognito.value.on_unauthenticated_request
          authentication_request_extra_params = authenticate_cognito.value.authentication_request_extra_params
        }
      }

      dynamic "authenticate_oidc" {
        for_each = [for login in [action.value] : login if login.type == "authenticate-oidc"]

        content {
          authorization_endpoint              = authenticate_oidc.value.authorization_endpoint
          client_id                           = authenticate_oidc.value.client_id
          client_secret                       = var.authenticate_oidc_client_secrets[each.key]
          issuer                              = authenticate_oidc.value.issuer
          token_endpoint                      = authenticate_oidc.value.token_endpoint
          user_info_endpoint                  = authenticate_oidc.value.user_info_endpoint
          scope                               = authenticate_oidc.value.scope
          session_cookie_name                 = authenticate_oidc.value.session_cookie_name
          session_timeout                     = authenticate_oidc.value.session_timeout
          on_unauthenticated_request          = authenticate_oidc.value.on_unauthenticated_request
          authentication_request_extra_params = authenticate_oidc.value.authentication_request_extra_params
        }
      }
    }
  }

  action {
    type             = "forward"
    target_group_arn = each.value.target_group_arns[0]
  }

  dynamic "condition" {
    for_each = local.rule_condition_blocks["${each.key}/wake"]

    content {
      dynamic "host_header" {
        for_each = condition.value.host_header

        content {
          values = host_header.value
        }
      }

      dynamic "path_pattern" {
        for_each = condition.value.path_pattern

        content {
          values = path_pattern.value
        }
      }

      dynamic "http_header" {
        for_each = condition.value.http_header

        content {
          http_header_name = http_header.value.http_header_name
          values           = http_header.value.values
        }
      }

      dynamic "http_request_method" {
        for_each = condition.value.http_request_method

        content {
          values = http_request_method.value
        }
      }

      dynamic "query_string" {
        for_each = condition.value.query_string

        content {
          key   = query_string.value.key
          value = query_string.value.value
        }
      }

      dynamic "source_ip" {
        for_each = condition.value.source_ip

        content {
          values = source_ip.value
        }
      }
    }
  }

  tags = var.tags

  # A blue/green deployment rewrites the action.
  lifecycle {
    ignore_changes = [action]

    precondition {
      condition     = length(local.default_logins[each.key]) == 0
      error_message = "${each.value.field}create_service_rule must be false: the listener's default action also has ${jsonencode(local.default_logins[each.key])}, which requests by the new rule would bypass. If it is a login, write it as ${each.value.field}authenticate_cognito or authenticate_oidc; otherwise give the service a rule of its own with these actions, and write its ARN in service_rule_arn."
    }

    precondition {
      condition     = length(local.default_groups[each.key]) <= 1
      error_message = "${each.value.field}create_service_rule must be false: the listener's default action forwards to several target groups (${join(", ", local.default_groups[each.key])}), as ECS blue/green and CodeDeploy do. Later deployments would shift the default action, and requests by the new rule would not follow. Give the service a rule of its own, name that rule in the configuration of the deployments, and write its ARN in service_rule_arn."
    }

    precondition {
      condition     = local.checks_on_listener ? contains(local.default_groups[each.key], each.value.target_group_arns[0]) : true
      error_message = "${each.value.field}create_service_rule: the listener's default action forwards to ${length(local.default_groups[each.key]) == 0 ? "no target group" : join(", ", local.default_groups[each.key])}, and the new rule would forward to ${each.value.target_group_arns[0]}, the first of target_group_arns. Write the default action's target group first there; if the default action does not serve the service, give the service a rule of its own, and write its ARN in service_rule_arn."
    }

    precondition {
      condition     = length(local.covered_routes[each.key]) == 0
      error_message = "${each.value.field}rule_priority is ${each.value.rule_priority}: the new rule matches every request of the listener, and takes those of the routes behind it (${join(", ", local.covered_routes[each.key])}). Write a number greater than the rule_priority of these routes."
    }
  }
}

# The wake rule of a route has the same conditions as its service rule. It is created behind the service
# rule, so that applying the module does not affect a running service.
resource "aws_lb_listener_rule" "wake" {
  for_each = local.routes

  listener_arn = each.value.listener_arn
  priority     = each.value.parked_rule_priority

  dynamic "action" {
    for_each = local.rule_logins["${each.key}/wake"]

    content {
      type = action.value.type

      dynamic "authenticate_cognito" {
        for_each = [for login in [action.value] : login if login.type == "authenticate-cognito"]

        content {
          user_pool_arn                       = authenticate_cognito.value.user_pool_arn
          user_pool_client_id                 = authenticate_cognito.value.user_pool_client_id
          user_pool_domain                    = authenticate_cognito.value.user_pool_domain
          scope                               = authenticate_cognito.value.scope
          session_cookie_name                 = authenticate_cognito.value.session_cookie_name
          session_timeout                     = authenticate_cognito.value.session_timeout
          on_unauthenticated_request          = authenticate_cognito.value.on_unauthenticated_request
          authentication_request_extra_params = authenticate_cognito.value.authentication_request_extra_params
        }
      }

      dynamic "authenticate_oidc" {
        for_each = [for login in [action.value] : login if login.type == "authenticate-oidc"]

        content {
          authorization_endpoint              = authenticate_oidc.value.authorization_endpoint
          client_id                           = authenticate_oidc.value.client_id
          client_secret                       = var.authenticate_oidc_client_secrets[each.key]
          issuer                              = authenticate_oidc.value.issuer
          token_endpoint                      = authenticate_oidc.value.token_endpoint
          user_info_endpoint                  = authenticate_oidc.value.user_info_endpoint
          scope                               = authenticate_oidc.value.scope
          session_cookie_name                 = authenticate_oidc.value.session_cookie_name
          session_timeout                     = authenticate_oidc.value.session_timeout
          on_unauthenticated_request          = authenticate_oidc.value.on_unauthenticated_request
          authentication_request_extra_params = authenticate_oidc.value.authentication_request_extra_params
        }
      }
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.warmkeeper["wake"].arn
  }

  dynamic "condition" {
    for_each = local.rule_condition_blocks["${each.key}/wake"]

    content {
      dynamic "host_header" {
        for_each = condition.value.host_header

        content {
          values = host_header.value
        }
      }

      dynamic "path_pattern" {
        for_each = condition.value.path_pattern

        content {
          values = path_pattern.value
        }
      }

      dynamic "http_header" {
        for_each = condition.value.http_header

        content {
          http_header_name = http_header.value.http_header_name
          values           = http_header.value.values
        }
      }

      dynamic "http_request_method" {
        for_each = condition.value.http_request_method

        content {
          values = http_request_method.value
        }
      }

      dynamic "query_string" {
        for_each = condition.value.query_string

        content {
          key   = query_string.value.key
          value = query_string.value.value
        }
      }

      dynamic "source_ip" {
        for_each = condition.value.source_ip

        content {
          values = source_ip.value
        }
      }
    }
  }

  tags = var.tags

  # On create, no request meets a wake rule without a service rule before it; on destroy, neither.
  depends_on = [aws_lb_listener_rule.service]

  # The warmkeeper changes the priority with the phase of the service.
  lifecycle {
    ignore_changes = [priority]

    precondition {
      condition     = each.value.parked_rule_priority > local.service_rule_priorities[each.key]
      error_message = "${each.value.field}parked_rule_priority is ${each.value.parked_rule_priority}${local.given_routes[each.key].parked_rule_priority == null ? " (30000 + rule_priority)" : ""}; it must be greater than the service rule's priority, which is ${local.service_rule_priorities[each.key]}, or a new wake rule takes the running service's requests. ${local.service_rule_priorities[each.key] < 50000 ? "Write a free number from ${local.service_rule_priorities[each.key] + 1} to 50000." : "No number is greater than 50000: give the service rule a lower priority first."}"
    }

    precondition {
      condition     = length(local.regex_conditions_found[each.key]) == 0
      error_message = "${each.value.field}service_rule_arn: the rule matches ${jsonencode(local.regex_conditions_found[each.key])} by regular expressions, which the wake rule cannot have: while the service sleeps, requests that only the service rule matches get 503, and requests that only the wake rule matches are taken from other services. Let the service rule match by values (host names and path patterns with * and ?), and write them in conditions."
    }

    precondition {
      condition     = local.rule_value_counts["${each.key}/wake"] <= 5
      error_message = "${each.value.field}conditions has ${local.rule_value_counts["${each.key}/wake"]} values, and a rule takes 5. ${local.fewer_values.wake}"
    }

    precondition {
      condition     = local.rule_wildcards["${each.key}/wake"] <= 5
      error_message = "${each.value.field}conditions has ${local.rule_wildcards["${each.key}/wake"]} wildcards (* and ?), and a rule takes 5. Write some of the values out."
    }

    precondition {
      condition     = length(local.shared_numbers[each.key]) == 0
      error_message = "${each.value.field}rule_priority: another route on the same listener also needs the numbers ${jsonencode(local.shared_numbers[each.key])}. A route needs the ${each.value.rules_before_wake + 1} numbers from rule_priority on, its service rule's and parked_rule_priority. Write numbers of its own."
    }

    precondition {
      condition     = length(local.route_logins[each.key]) <= 1
      error_message = "${each.value.field}authenticate_oidc must be left out with authenticate_cognito, because a rule takes one of them; got both. Write the one that the service rule has."
    }

    precondition {
      condition     = length(local.route_logins[each.key]) > 0 ? local.listener_protocols[each.key] != "HTTP" : true
      error_message = "${each.value.field}${local.login_fields[each.key]}: the listener's protocol is HTTP, and a load balancer asks for a login on an HTTPS listener only. Write a rule of the HTTPS listener, and let the HTTP listener redirect to it."
    }

    # ECS's blue/green deployments rewrite the actions of the service rule, and fail if one of them is a login.
    precondition {
      condition     = length(local.route_logins[each.key]) > 0 ? length(each.value.target_group_arns) == 1 : true
      error_message = "${each.value.field}${local.login_fields[each.key]} must be left out with ${length(each.value.target_group_arns)} target groups: deployments that shift traffic between them (blue/green, canary, linear) fail on a rule with a login. Write one target group in target_group_arns and deploy by rolling updates, or let the application ask for the login."
    }

    precondition {
      condition     = alltrue([for login in local.route_logins[each.key] : contains(["authenticate", "deny", "allow"], login.on_unauthenticated_request)])
      error_message = "${each.value.field}${local.login_fields[each.key]}.on_unauthenticated_request must be \"authenticate\", \"deny\" or \"allow\"; got ${jsonencode(local.route_logins[each.key][*].on_unauthenticated_request)}. Write what the service rule has."
    }

    precondition {
      condition     = alltrue([for login in local.route_logins[each.key] : login.session_timeout >= 1 && login.session_timeout <= 604800 && floor(login.session_timeout) == login.session_timeout])
      error_message = "${each.value.field}${local.login_fields[each.key]}.session_timeout must be a whole number of seconds from 1 to 604800 (seven days); got ${jsonencode(local.route_logins[each.key][*].session_timeout)}. Write what the service rule has."
    }

    precondition {
      condition     = length(distinct(values(local.route_load_balancer_arns))) <= 1
      error_message = "routes: the routes are on ${length(distinct(values(local.route_load_balancer_arns)))} load balancers, and the module follows one: it does not see the requests of a second one, which do not wake the service and get 503 while it sleeps. Write routes of one load balancer only."
    }
  }
}

# The addresses of 0.4.0.

moved {
  from = aws_lb_listener_rule.fixed["control"]
  to   = aws_lb_listener_rule.fixed["this/control"]
}

moved {
  from = aws_lb_listener_rule.fixed["heartbeat"]
  to   = aws_lb_listener_rule.fixed["this/heartbeat"]
}

moved {
  from = aws_lb_listener_rule.fixed["websocket"]
  to   = aws_lb_listener_rule.fixed["this/websocket"]
}

moved {
  from = aws_lb_listener_rule.wake[0]
  to   = aws_lb_listener_rule.wake["this"]
}

# ---------------------------------------------------------------------------------------------
# The rules forward requests to the Lambda
# ---------------------------------------------------------------------------------------------

# Two groups, so that the warmkeeper can distinguish control requests, which are no activity. There is no
# health_check block: health checks of a Lambda are off by default, and each would be an invocation.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
resource "aws_lb_target_group" "warmkeeper" {
  for_each = toset(local.listener_path ? ["control", "wake"] : [])

  name        = "${var.name}-${each.key}"
  target_type = "lambda"

  # Without this, only the last of repeated headers and query keys arrives, and a 307 would lose the others.
  lambda_multi_value_headers_enabled = true

  tags = var.tags
}

resource "aws_lb_target_group_attachment" "warmkeeper" {
  for_each = aws_lb_target_group.warmkeeper

  target_group_arn = each.value.arn
  target_id        = aws_lambda_function.this.arn

  # AWS checks the permission to invoke when the target is registered.
  depends_on = [aws_lambda_permission.this]
}

# ---------------------------------------------------------------------------------------------
# The warmkeeper answers
# ---------------------------------------------------------------------------------------------

locals {
  package = "${path.module}/lambda/warmkeeper.zip"

  # The ends of the ARNs, NAME/ID.
  group_ids = { for role, group in aws_lb_target_group.warmkeeper : role => trimprefix(group.arn, local.group_arn_start) }

  # The service rule of each route, and the wake rule.
  service_rule_arns = {
    for key, route in local.routes : key => route.create_service_rule ? aws_lb_listener_rule.service[key].arn : route.service_rule_arn
  }
  wake_rule_arns = { for key, rule in aws_lb_listener_rule.wake : key => rule.arn }

  # All rules are on one load balancer, and often on one listener. What their ARNs have in common is written
  # once: app/NAME/ID/, or app/NAME/ID/LISTENER/.
  listener_ids = distinct([for route in local.routes : replace(route.listener_arn, "/^.*//", "")])
  one_listener = length(local.listener_ids) == 1 ? local.listener_ids : []
  common_rules = local.listener_path ? join("/", concat([local.load_balancer_dimension], local.one_listener, [""])) : ""

  # Of each route, in one text: the priorities of the wake rule that is up, and parked; then the service rule,
  # the wake rule and the other rules of the module.
  wired_routes = {
    for key, route in local.routes : key => join(" ", concat(
      ["${route.rule_priority + route.rules_before_wake}/${route.parked_rule_priority}${route.create_service_rule ? "/created" : ""}"],
      [
        for arn in concat([local.service_rule_arns[key], local.wake_rule_arns[key]], [
          for role in ["control", "heartbeat", "login", "websocket"] : aws_lb_listener_rule.fixed["${key}/${role}"].arn
          if contains(keys(local.fixed_rules), "${key}/${role}")
        ]) : trimprefix(arn, "${local.rule_arn_start}${local.common_rules}")
      ],
    ))
  }

  # IANA's names and their POSIX rules, by tools/time_zones.py.
  time_zones = jsondecode(file("${path.module}/lambda/time-zones.json"))
  weekdays   = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

  # For people: "Awake mon, tue 08:55-18:00. Closed sat, sun 00:00-24:00. Time zone Europe/Berlin."
  schedule_text = var.schedule == null ? "" : "${join(" ", [
    for kind, given in { Awake = var.schedule.awake, Closed = var.schedule.closed } :
    "${kind} ${join("; ", [for hours in given : "${join(", ", hours.days)} ${hours.from}-${hours.to}"])}." if length(given) > 0
  ])} Time zone ${var.schedule.time_zone}."

  # Hours as the function reads them: "mon,tue 08:55-18:00".
  schedule = var.schedule == null ? null : {
    zone   = var.schedule.time_zone
    rule   = lookup(local.time_zones, var.schedule.time_zone, "")
    awake  = [for hours in var.schedule.awake : "${join(",", hours.days)} ${hours.from}-${hours.to}"]
    closed = [for hours in var.schedule.closed : "${join(",", hours.days)} ${hours.from}-${hours.to}"]
    except = var.schedule.except
  }

  # The names of an environment's alarms begin with the keys of its routes. If each route has a first target
  # group of its own, a second one and so on, one name with {route} stands for the alarms of all these.
  groups_of_each_route = local.environment_given && local.listener_path ? min([for route in local.routes : length(route.own_target_group_arns)]...) : 0
  alarms_by_route      = flatten([for key in keys(local.routes) : [for n in range(local.groups_of_each_route) : "${key}/${n + 1}"]])
  idle_alarm_names = concat(
    [for n in range(local.groups_of_each_route) : "${var.name}-idle-{route}-${n + 1}"],
    [for key, alarm in local.idle_alarms : alarm.name if !contains(local.alarms_by_route, key)],
  )

  # Settings, each with its default, which is that of the input. The function knows it too (Config in
  # warmkeeper.py), so only other values are written.
  settings_and_defaults = {
    SERVICE_CONNECT_NAMES     = [join(",", distinct(flatten(values(local.services)[*].service_connect[*].discovery_name))), ""]
    CONTROL_PATH              = [var.control_path, "/.warmkeeper"]
    PUBLIC_URL                = [var.public_url, ""]
    HEARTBEAT_PATH            = [local.heartbeat_wanted ? var.heartbeat.path : "", "/health"]
    METRIC_NAMESPACE          = [local.metric_namespace, "Warmkeeper"]
    IDLE_MINUTES              = [tostring(var.idle_minutes), "5"]
    LINGER_SECONDS            = [tostring(var.linger_seconds), "60"]
    AWAKE_COUNT               = [tostring(var.awake_count), "1"]
    COLD_START_TARGET_SECONDS = [tostring(var.cold_start_target_seconds), "60"]
    WAKE_DEADLINE_SECONDS     = [tostring(var.wake_deadline_seconds), "300"]
    WAKE_BUDGET_PER_HOUR      = [tostring(var.wake_budget_per_hour), "4"]
    WAKE_CONFIRMATION         = [var.wake_confirmation, "request"]
    UNSEEN_TRAFFIC            = [var.unseen_traffic, "stay_awake"]
    SUSPEND_AUTOSCALING       = [tostring(var.suspend_autoscaling), "true"]
    TRANSITION_NOTICES        = [tostring(var.transition_notices), "true"]
    HOLD_SECONDS              = [tostring(var.hold_seconds), "25"]
    HOLD_LIMIT                = [tostring(var.hold_limit), "50"]
    WAITING_STATUS_CODE       = [tostring(var.waiting_status_code), "503"]
    CORS_ALLOWED_ORIGINS      = [join(",", var.cors_allowed_origins), "*"]
    RESTORE_ON_DESTROY        = [tostring(var.restore_on_destroy), "true"]
  }

  # Names and numbers only; everything longer is in the settings item. Of an ARN stands what follows ACCOUNT.
  environment = merge(
    {
      NAME                     = var.name
      ACCOUNT                  = local.account_arn
      CLUSTER_NAME             = var.cluster_name
      MEMBERS                  = jsonencode(local.members)
      ROUTES                   = jsonencode({ rules = local.common_rules, routes = local.wired_routes })
      TARGET_GROUP_ARNS        = join(",", [for arn in distinct(values(local.target_groups)) : trimprefix(arn, local.group_arn_start)])
      WAKE_TARGET_GROUP_ARN    = lookup(local.group_ids, "wake", "")
      CONTROL_TARGET_GROUP_ARN = lookup(local.group_ids, "control", "")
      TABLE_NAME               = aws_dynamodb_table.this.name
      TOPIC_ARN                = aws_sns_topic.this.name
      IDLE_ALARM_ARNS          = join(",", local.idle_alarm_names)
      MIN_AWAKE_MINUTES        = tostring(local.min_awake_minutes)
    },
    length(local.databases) > 0 ? { DATABASES = jsonencode(local.databases) } : {},
    local.schedule == null ? {} : { SCHEDULE = jsonencode({ for field, given in local.schedule : field => given if length(given) > 0 }) },
    local.alarm_path ? { WAKE_ALARM_ARN = local.wake_alarm } : {},
    { for parameter in local.heartbeat_tokens : "HEARTBEAT_TOKEN_PARAMETER" => parameter },
    { for name, setting in local.settings_and_defaults : name => setting[0] if setting[0] != setting[1] },
  )

  # Lambda measures the JSON text of all variables, names included.
  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
  environment_bytes      = length(jsonencode(local.environment))
  most_environment_bytes = 4096

  # A restore on destroy waits for a whole wake; the minute is for the steps before and after.
  timeout_seconds = var.wake_deadline_seconds + 60
}

# Created before the function; otherwise Lambda creates a log group that never expires.
resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158: a customer key is an input (kms_key_arn), not a default: it costs 1 USD a month
  # checkov:skip=CKV_AWS_338: the log is needed for days, not for a year; log_retention_days is an input
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

data "aws_iam_policy_document" "assume" {
  statement {
    sid     = "LambdaAssumes"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name                 = local.function_name
  path                 = var.role_path
  description          = "Rights of the warmkeeper of ${local.service_label}"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  permissions_boundary = var.role_permissions_boundary
  tags                 = var.tags
}

# One sid per purpose, in the order in which the warmkeeper needs them.
data "aws_iam_policy_document" "this" {
  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"] # the streams of this one group
  }

  statement {
    sid       = "ReadMemoryAndSettings"
    actions   = ["dynamodb:GetItem"]
    resources = [aws_dynamodb_table.this.arn]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["memory", "settings"]
    }
  }

  # Only Terraform writes the settings.
  statement {
    sid       = "WriteMemory"
    actions   = ["dynamodb:PutItem"]
    resources = [aws_dynamodb_table.this.arn]

    condition {
      test     = "ForAllValues:StringEquals"
      variable = "dynamodb:LeadingKeys"
      values   = ["memory"]
    }
  }

  dynamic "statement" {
    for_each = local.listener_path ? [1] : []

    content {
      sid       = "CountHeld"
      actions   = ["dynamodb:UpdateItem"]
      resources = [aws_dynamodb_table.this.arn]

      condition {
        test     = "ForAllValues:StringEquals"
        variable = "dynamodb:LeadingKeys"
        values   = ["held"]
      }
    }
  }

  # The service's ARN contains the cluster. A condition on the absence of ecs:task-definition could forbid
  # another task definition. But AWS does not document whether the key is present in calls that name no
  # task definition; if it always is, the condition would deny every wake.
  statement {
    sid       = "SeeAndScaleService"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = values(local.service_arns)
  }

  # A deployment that is not a rolling one shows only here.
  statement {
    sid       = "SeeDeployments"
    actions   = ["ecs:ListServiceDeployments"]
    resources = local.stopped_service_arns
  }

  # Also with suspend_autoscaling = false: what a sleeping service's auto scaling was is given back after the
  # wake, even if the input has changed meanwhile.
  statement {
    sid       = "SeeAutoscaling"
    actions   = ["application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScheduledActions"]
    resources = ["*"] # Describe calls of Application Auto Scaling take no resource and no condition
  }

  # A scalable target's ARN ends with an id that AWS chooses. The conditions allow only the task counts of
  # ECS services.
  statement {
    sid       = "SuspendAutoscaling"
    actions   = ["application-autoscaling:RegisterScalableTarget"]
    resources = ["arn:${local.partition}:application-autoscaling:${local.region}:${local.account_id}:scalable-target/*"]

    condition {
      test     = "StringEquals"
      variable = "application-autoscaling:service-namespace"
      values   = ["ecs"]
    }

    condition {
      test     = "StringEquals"
      variable = "application-autoscaling:scalable-dimension"
      values   = ["ecs:service:DesiredCount"]
    }
  }

  statement {
    sid       = "ListTasks"
    actions   = ["ecs:ListTasks"]
    resources = ["*"] # the action supports no service or task; the condition limits it to the cluster

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }

  statement {
    sid       = "SeeTasks"
    actions   = ["ecs:DescribeTasks", "ecs:GetTaskProtection"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${var.cluster_name}/*"] # task ids are not known in advance
  }

  # Whether a service without routes has a container health check, and so may be running and not yet ready.
  dynamic "statement" {
    for_each = anytrue([for service in var.services : length(service.routes) == 0]) ? [1] : []

    content {
      sid       = "SeeTaskDefinitions"
      actions   = ["ecs:DescribeTaskDefinition"]
      resources = ["*"] # the action takes no resource and no condition
    }
  }

  dynamic "statement" {
    for_each = length(local.target_groups) > 0 ? [1] : []

    content {
      sid       = "SeeTargets"
      actions   = ["elasticloadbalancing:DescribeTargetHealth"]
      resources = ["*"] # Describe calls of the load balancer take no resource
    }
  }

  dynamic "statement" {
    for_each = local.listener_path ? [1] : []

    content {
      sid       = "SeeRules"
      actions   = ["elasticloadbalancing:DescribeRules"]
      resources = ["*"] # Describe calls of the load balancer take no resource
    }
  }

  dynamic "statement" {
    for_each = local.listener_path ? [1] : []

    content {
      sid       = "MoveWakeRule"
      actions   = ["elasticloadbalancing:SetRulePriorities"]
      resources = values(local.wake_rule_arns)
    }
  }

  statement {
    sid       = "ReadIdleAlarm"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = values(local.idle_alarm_arns)
  }

  # An alarm that stays in ALARM does not invoke the function again, so the tick reads it.
  dynamic "statement" {
    for_each = local.alarm_path ? [local.wake_alarm_arn] : []

    content {
      sid       = "ReadWakeAlarm"
      actions   = ["cloudwatch:DescribeAlarms"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = length(local.queues) > 0 ? [1] : []

    content {
      sid       = "CountMessages"
      actions   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
      resources = local.queue_arns
    }
  }

  # Nothing here deletes, changes or restores data.
  dynamic "statement" {
    for_each = length(local.instance_arns) > 0 ? [1] : []

    content {
      sid       = "SeeAndStartInstances"
      actions   = ["rds:DescribeDBInstances", "rds:StartDBInstance"]
      resources = values(local.instance_arns)
    }
  }

  dynamic "statement" {
    for_each = length(local.stopped_instance_arns) > 0 ? [1] : []

    content {
      sid       = "StopInstances"
      actions   = ["rds:StopDBInstance"]
      resources = local.stopped_instance_arns
    }
  }

  dynamic "statement" {
    for_each = length(local.cluster_arns) > 0 ? [1] : []

    content {
      sid       = "SeeAndStartClusters"
      actions   = ["rds:DescribeDBClusters", "rds:StartDBCluster"]
      resources = values(local.cluster_arns)
    }
  }

  dynamic "statement" {
    for_each = length(local.stopped_cluster_arns) > 0 ? [1] : []

    content {
      sid       = "StopClusters"
      actions   = ["rds:StopDBCluster"]
      resources = local.stopped_cluster_arns
    }
  }

  statement {
    sid       = "TellPeople"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this.arn]
  }

  dynamic "statement" {
    for_each = local.heartbeat_tokens

    content {
      sid       = "ReadHeartbeatToken"
      actions   = ["ssm:GetParameter"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "UseKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values = [
          for service in ["dynamodb", "sns", "ssm"] :
          "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"
        ]
      }
    }
  }
}

resource "aws_iam_role_policy" "this" {
  name   = local.function_name
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50: the log has one JSON line per decision; X-Ray costs money and needs more rights
  # checkov:skip=CKV_AWS_115: reserved concurrency throttles, and waiting clients of a throttled function get 502
  # checkov:skip=CKV_AWS_116: asynchronous failures go to the topic, see aws_lambda_function_event_invoke_config
  # checkov:skip=CKV_AWS_117: it calls AWS's APIs only; in a VPC it would need a NAT gateway, at 30 times the cost
  # checkov:skip=CKV_AWS_173: the environment holds names and numbers, no secret
  # checkov:skip=CKV_AWS_272: the package is in the repository, and a test compares it with its source
  function_name    = local.function_name
  description      = substr("Puts ${local.service_label} to sleep and wakes it", 0, 256) # AWS takes no more
  role             = aws_iam_role.this.arn
  handler          = "warmkeeper.handler"
  runtime          = "python3.13"
  architectures    = [var.lambda_architecture]
  memory_size      = var.memory_size
  timeout          = local.timeout_seconds
  filename         = local.package
  source_code_hash = filebase64sha256(local.package)

  environment {
    variables = local.environment
  }

  tags = var.tags

  # a container reads the settings when it starts, and caches them for minutes
  depends_on = [aws_cloudwatch_log_group.this, aws_dynamodb_table_item.settings]

  lifecycle {
    precondition {
      condition     = length(local.taskless_target_types) == 0
      error_message = "${join(", and ", [for key, type in local.taskless_target_types : "${local.target_group_fields[key]}: the target group's target_type is \"${type}\""])}, and no ECS task is a target of one. Write the ARN of the group with target_type \"ip\" or \"instance\" that the service's load_balancer block names."
    }

    precondition {
      condition     = length(local.start_cycle) == 0
      error_message = "services: start_after must not lead in a circle, or none of its services would start; each of these services waits for itself: ${join(", ", local.start_cycle)}. Leave out one start_after of them."
    }

    precondition {
      condition     = local.environment_bytes <= local.most_environment_bytes
      error_message = "the inputs need ${local.environment_bytes} bytes of the function's environment, and AWS allows ${local.most_environment_bytes}. Write fewer or shorter services, routes, target_group_arns, queue_arns, service_connect, cors_allowed_origins or dates in schedule.except: each of them is in the environment."
    }
  }
}

# No retries and a short age: a late event is stale, and the next tick makes up for a failed one.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_event_age_in_seconds = 120
  maximum_retry_attempts       = 0

  destination_config {
    on_failure {
      destination = aws_sns_topic.this.arn
    }
  }

  # AWS checks the role's right to publish when the destination is set.
  depends_on = [aws_iam_role_policy.this]
}

# The callers that may invoke the function, by statement id, each limited to its ARN.
locals {
  invokers = merge(
    {
      for role, group in aws_lb_target_group.warmkeeper :
      "${role}-target-group" => { principal = "elasticloadbalancing.amazonaws.com", source_arn = group.arn }
    },
    {
      for name, rule in aws_cloudwatch_event_rule.this :
      name => { principal = "events.amazonaws.com", source_arn = rule.arn }
    },
    {
      for key, alarm in aws_cloudwatch_metric_alarm.idle :
      "idle-alarm${local.idle_alarms[key].suffix}" => { principal = "lambda.alarms.cloudwatch.amazonaws.com", source_arn = alarm.arn }
    },
    {
      for alarm in aws_cloudwatch_metric_alarm.wake :
      "wake-alarm" => { principal = "lambda.alarms.cloudwatch.amazonaws.com", source_arn = alarm.arn }
    },
  )
}

resource "aws_lambda_permission" "this" {
  for_each = local.invokers

  statement_id  = each.key
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  principal     = each.value.principal
  source_arn    = each.value.source_arn
}

# ---------------------------------------------------------------------------------------------
# The table: the memory and the count of held calls, which the warmkeeper writes, and the settings, which
# Terraform writes
# ---------------------------------------------------------------------------------------------

locals {
  default_wake_policy = yamldecode(file("${path.module}/wake-policy.yaml"))

  wake_policy_rules = concat(
    local.default_wake_policy.always,
    var.wake_policy.ignore_also,
    coalesce(var.wake_policy.ignore, []),
    [for rule in local.default_wake_policy.ignore : rule if var.wake_policy.ignore == null],
  )

  # A rule in the file has only some fields; the function expects all of them.
  wake_policy_fields = { answer = "asleep", methods = [], paths = [], user_agents = [], source_ranges = [] }
  wake_policy        = [for rule in local.wake_policy_rules : merge(local.wake_policy_fields, rule)]

  packaged_texts = jsondecode(file("${path.module}/lambda/texts.json"))
  page_text_keys = keys(local.packaged_texts.en)

  # By language tag in lower case, because tags ignore case. A null text means the packaged text.
  own_texts = {
    for tag, texts in var.page.texts : lower(tag) => { for key, text in texts : key => text if text != null }...
  }

  # Later texts override earlier ones: English, then the general language, then the language itself; of each
  # first the packaged texts, then the texts of the input.
  page_texts = {
    for tag in keys(var.page.texts) : tag => merge(flatten([
      for wider in ["en", lower(split("-", tag)[0]), lower(tag)] : [
        try(local.packaged_texts[wider], {}),
        try(local.own_texts[wider], []),
      ]
    ])...)
  }

  # The relative luminance of each accent, from 0 for black to 1 for white.
  # https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
  accents = { for name in ["accent", "accent_dark"] : name => var.page[name] if var.page[name] != null }

  accent_parts = {
    for name, colour in local.accents : name => [for at in [1, 3, 5] : parseint(substr(colour, at, 2), 16) / 255]
  }

  accent_linear_parts = {
    for name, parts in local.accent_parts : name => [
      for part in parts : part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4)
    ]
  }

  accent_luminance = {
    for name, parts in local.accent_linear_parts : name => 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
  }

  # Black or white, whichever has the greater contrast with the accent (at least 4.58).
  on_accents = {
    for name, luminance in local.accent_luminance : "on_${name}" => pow(luminance + 0.05, 2) > 0.05 * 1.05 ? "#000000" : "#ffffff"
  }

  page = {
    title         = coalesce(var.page.title, var.name)
    logo_data_uri = var.page.logo_data_uri
    html          = var.page.html
    texts         = local.page_texts
    colours       = merge(local.accents, local.on_accents)
  }

  settings = jsonencode({ page = local.page, wake_policy = local.wake_policy })
}

resource "aws_dynamodb_table" "this" {
  # checkov:skip=CKV_AWS_28: the warmkeeper rebuilds a lost memory from what AWS shows, so no backup is needed
  # checkov:skip=CKV_AWS_119: a customer key is an input (kms_key_arn), not a default: it costs 1 USD a month
  # checkov:skip=CKV2_AWS_16: three items, paid by request
  name         = local.function_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"

  attribute {
    name = "id"
    type = "S"
  }

  dynamic "server_side_encryption" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }

  tags = var.tags
}

resource "aws_dynamodb_table_item" "settings" {
  table_name = aws_dynamodb_table.this.name
  hash_key   = aws_dynamodb_table.this.hash_key

  item = jsonencode({
    id   = { S = "settings" }
    body = { S = local.settings }
  })
}

# ---------------------------------------------------------------------------------------------
# Other events: the tick, and ECS. The alarms are in alarms.tf.
# ---------------------------------------------------------------------------------------------

locals {
  database_event_rules = length(var.databases) == 0 ? {} : {
    # A start, a stop, and the start by AWS after seven days: of an instance 0088, 0087, 0154, of a cluster 0151,
    # 0150, 0153.
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
    database = {
      description         = "RDS events of the databases of ${local.service_label}"
      schedule_expression = null
      event_pattern = jsonencode({
        source        = ["aws.rds"]
        "detail-type" = ["RDS DB Instance Event", "RDS DB Cluster Event"]
        detail = {
          SourceIdentifier = distinct(values(local.database_names))
          EventID          = ["RDS-EVENT-0087", "RDS-EVENT-0088", "RDS-EVENT-0150", "RDS-EVENT-0151", "RDS-EVENT-0153", "RDS-EVENT-0154"]
        }
      })
      retries = 1
    }
  }
  event_rules = merge(local.database_event_rules, {
    # Alarms act only when their state changes, and events can be lost. The tick makes up for both.
    tick = {
      description         = "The tick of the warmkeeper of ${local.service_label}"
      schedule_expression = "rate(1 minute)"
      event_pattern       = null
      retries             = 0 # the next tick is the retry
    }
    # Task events name their service in `group`; the other events name it in `resources`.
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html
    ecs-task = {
      description         = "ECS events of ${local.service_label} (task)"
      schedule_expression = null
      event_pattern = jsonencode({
        source        = ["aws.ecs"]
        "detail-type" = ["ECS Task State Change"]
        detail = {
          clusterArn = [local.cluster_arn]
          group      = [for name in local.service_names : "service:${name}"]
        }
      })
      retries = 1
    }
    ecs-service = {
      description         = "ECS events of ${local.service_label} (service)"
      schedule_expression = null
      event_pattern = jsonencode({
        source        = ["aws.ecs"]
        "detail-type" = ["ECS Deployment State Change", "ECS Service Action"]
        resources     = values(local.service_arns)
      })
      retries = 1
    }
  })
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.event_rules

  name                = "${var.name}-${each.key}"
  description         = substr(each.value.description, 0, 512) # AWS takes no more
  schedule_expression = each.value.schedule_expression
  event_pattern       = each.value.event_pattern
  tags                = var.tags

  lifecycle {
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
    precondition {
      condition     = each.value.event_pattern == null ? true : length(each.value.event_pattern) <= 2048
      error_message = "services: the pattern of the events (${each.key}) would have ${each.value.event_pattern == null ? 0 : length(each.value.event_pattern)} characters, and EventBridge takes 2048. Use fewer services or shorter names, or divide services into two environments, each with a module of its own."
    }
  }
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.event_rules

  rule = aws_cloudwatch_event_rule.this[each.key].name
  arn  = aws_lambda_function.this.arn

  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = each.value.retries
  }

  # The ticks begin after the service is adopted, and end before it is restored.
  depends_on = [aws_lambda_permission.this, aws_lambda_invocation.this]
}

# ---------------------------------------------------------------------------------------------
# Notices
# ---------------------------------------------------------------------------------------------

resource "aws_sns_topic" "this" {
  # checkov:skip=CKV_AWS_26: alarms cannot publish to a topic with AWS's own key for SNS; a customer key is an input (kms_key_arn)
  name              = local.function_name
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

# The role allows the warmkeeper to publish; this policy allows the alarms.
data "aws_iam_policy_document" "topic" {
  statement {
    sid       = "AlarmsPublish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["${local.alarm_arn}:${var.name}-*"] # the alarms of alarms.tf
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  arn    = aws_sns_topic.this.arn
  policy = data.aws_iam_policy_document.topic.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.notification_emails

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

# ---------------------------------------------------------------------------------------------
# Terraform's calls: adopt on create, reconcile on update, restore on delete
# ---------------------------------------------------------------------------------------------

resource "aws_lambda_invocation" "this" {
  function_name   = aws_lambda_function.this.function_name
  lifecycle_scope = "CRUD"

  # There are no triggers: a changed trigger is a delete and a create, which would wake the service. A
  # changed input is an update in place.
  input = jsonencode({
    command     = "terraform"
    code        = aws_lambda_function.this.source_code_hash
    settings    = sha256(local.settings)
    environment = sha256(jsonencode(local.environment))
  })

  # A restore needs all of these until it ends.
  depends_on = [
    aws_iam_role_policy.this,
    aws_lb_listener_rule.fixed,
    aws_lb_listener_rule.wake,
    aws_lb_target_group_attachment.warmkeeper,
    aws_lambda_function_event_invoke_config.this,
    aws_dynamodb_table_item.settings,
    aws_sns_topic_policy.this,
    aws_sns_topic_subscription.email,
    aws_cloudwatch_metric_alarm.idle,
    aws_cloudwatch_metric_alarm.wake,
    aws_lambda_permission.this,
  ]
}

# What leaves the configuration while the service sleeps is given back before the rules are deleted, and before
# the role and the function forget it: the clients of a route would get 503 without its wake rule, and a member
# or a database would stay stopped.
resource "aws_lambda_invocation" "route" {
  for_each = local.named_routes

  function_name   = aws_lambda_function.this.function_name
  lifecycle_scope = "CRUD"
  input           = jsonencode({ command = "terraform", route = each.key })

  depends_on = [
    aws_lambda_invocation.this,
    aws_lb_listener_rule.fixed,
    aws_lb_listener_rule.wake,
  ]
}

resource "aws_lambda_invocation" "member" {
  for_each = toset(keys(var.services))

  function_name   = aws_lambda_function.this.function_name
  lifecycle_scope = "CRUD"
  input           = jsonencode({ command = "terraform", member = each.key })

  depends_on = [aws_lambda_invocation.this]
}

resource "aws_lambda_invocation" "database" {
  for_each = toset(keys(var.databases))

  function_name   = aws_lambda_function.this.function_name
  lifecycle_scope = "CRUD"
  input           = jsonencode({ command = "terraform", database = each.key })

  depends_on = [aws_lambda_invocation.this]
}
