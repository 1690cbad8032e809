# The module puts an ECS Fargate service to sleep (desiredCount = 0) after idle_minutes without a
# request, and wakes it at the next request. One Lambda does both, the warmkeeper. While the service is
# not awake, a listener rule of the module, the wake rule, stands before the service's own rule and
# hands requests to that Lambda. While the service is awake, the wake rule stands behind the
# service rule, and requests do not pass through the module. While the service sleeps, the module costs
# under 1 USD a month: one short check a minute and a few alarms.

data "aws_partition" "current" {}

locals {
  function_name = "${var.name}-warmkeeper"
  service_label = "${var.cluster_name}/${var.service_name}" # for descriptions

  # Partition, region and account come from the ARN. The region's data source has another attribute in
  # provider 5 (`name`) than in provider 6 (`region`).
  target_group_arn        = one(var.target_group_arns)
  target_group_arn_fields = split(":", local.target_group_arn)
  partition               = data.aws_partition.current.partition
  region                  = local.target_group_arn_fields[3]
  account_id              = local.target_group_arn_fields[4]

  listener_path         = var.wake_path == "listener"
  heartbeat_is_control  = startswith(var.heartbeat.path, "${var.control_path}/")
  heartbeat_wanted      = local.listener_path && var.heartbeat.enabled
  heartbeat_rule_wanted = local.heartbeat_wanted && !local.heartbeat_is_control
  heartbeat_tokens      = local.heartbeat_wanted ? var.heartbeat.token_parameter_arn[*] : [] # none or one
  websocket_rule_wanted = local.listener_path && var.websocket_rule
  min_awake_minutes     = coalesce(var.min_awake_minutes, var.idle_minutes + 3)

  # The rule's ARN is arn:...:listener-rule/app/NAME/ID/LISTENER/RULE, the listener's is
  # arn:...:listener/app/NAME/ID/LISTENER.
  rule_arn_fields = split("/", local.listener_path ? var.service_rule_arn : "")
  listener_arn = local.listener_path ? join("/", concat(
    [trimsuffix(local.rule_arn_fields[0], "-rule")],
    slice(local.rule_arn_fields, 1, 5),
  )) : null

  # The load balancer's ARN is arn:...:loadbalancer/app/NAME/ID.
  load_balancer_arn = local.listener_path ? join("/", concat(
    [replace(local.rule_arn_fields[0], "/:listener-rule$/", ":loadbalancer")],
    slice(local.rule_arn_fields, 1, 4),
  )) : var.load_balancer_arn

  # Number of fixed rules (control, heartbeat, WebSocket) before the wake rule when it is up.
  rules_before_wake = local.websocket_rule_wanted ? 3 : 2

  # While the service is awake, the wake rule is parked far behind the service rule, to leave the next
  # numbers free.
  parked_rule_priority = local.listener_path ? coalesce(var.parked_rule_priority, 30000 + var.rule_priority) : 0

  # The metric dimensions are the ends of the ARNs: targetgroup/NAME/ID and app/NAME/ID.
  target_group_dimension = local.target_group_arn_fields[5]
  load_balancer_dimension = (
    local.listener_path
    ? join("/", slice(local.rule_arn_fields, 1, 4))
    : join("/", slice(split("/", coalesce(var.load_balancer_arn, "///")), 1, 4))
  )

  # These ARNs are composed. The function needs the ARNs of the alarms, which refer to the function: reading
  # them from the resources would be a cycle.
  cluster_arn    = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:cluster/${var.cluster_name}"
  service_arn    = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:service/${var.cluster_name}/${var.service_name}"
  alarm_arn      = "arn:${local.partition}:cloudwatch:${local.region}:${local.account_id}:alarm"
  idle_alarm     = "${var.name}-idle"
  wake_alarm     = "${var.name}-wake"
  idle_alarm_arn = "${local.alarm_arn}:${local.idle_alarm}"
  wake_alarm_arn = "${local.alarm_arn}:${local.wake_alarm}"

  metric_namespace = "Warmkeeper"
}

# ---------------------------------------------------------------------------------------------
# Requests arrive at the listener's rules. Only the wake rule moves, and only the warmkeeper moves it.
# ---------------------------------------------------------------------------------------------

locals {
  # The priority of each rule is rule_priority + offset.
  possible_fixed_rules = {
    # Status, health, wake and heartbeat requests of pages, monitors and proxies.
    control = {
      wanted       = local.listener_path
      offset       = 0
      path_pattern = ["${var.control_path}/*"]
    }
    # The path belongs to the application, so the rule takes only POST requests.
    heartbeat = {
      wanted       = local.heartbeat_rule_wanted
      offset       = 1
      path_pattern = [var.heartbeat.path]
    }
    # A Lambda target does not support upgrades: the load balancer would answer 400 at the wake rule. This
    # rule stands before the wake rule and forwards upgrades to the service in every phase.
    websocket = {
      wanted       = local.websocket_rule_wanted
      offset       = 2
      path_pattern = var.conditions.path_pattern
    }
  }
  fixed_rules = { for role, rule in local.possible_fixed_rules : role => rule if rule.wanted }

  # An empty list, or one list of hosts: a condition must have at least one value.
  host_conditions = length(var.conditions.host_header) == 0 ? [] : [var.conditions.host_header]
}

resource "aws_lb_listener_rule" "fixed" {
  for_each = local.fixed_rules

  listener_arn = local.listener_arn
  priority     = var.rule_priority + each.value.offset

  action {
    type             = "forward"
    target_group_arn = each.key == "websocket" ? local.target_group_arn : aws_lb_target_group.warmkeeper["control"].arn
  }

  dynamic "condition" {
    for_each = local.host_conditions

    content {
      host_header {
        values = condition.value
      }
    }
  }

  condition {
    path_pattern {
      values = each.value.path_pattern
    }
  }

  dynamic "condition" {
    for_each = each.key == "heartbeat" ? ["POST"] : []

    content {
      http_request_method {
        values = [condition.value]
      }
    }
  }

  dynamic "condition" {
    for_each = each.key == "websocket" ? ["websocket"] : []

    content {
      http_header {
        http_header_name = "Upgrade"
        values           = [condition.value]
      }
    }
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = var.rule_priority + each.value.offset != local.service_rule_priority
      error_message = "rule_priority: the ${each.key} rule's number (rule_priority + ${each.value.offset}) is ${local.service_rule_priority}, which the service rule (service_rule_arn) holds. Write the first of ${local.rules_before_wake + 1} free numbers below ${local.service_rule_priority}. (If this apply also moves the service rule, move that rule in a separate apply first.)"
    }

    # The WebSocket rule cannot repeat other conditions and actions of the service rule.
    precondition {
      condition     = each.key == "websocket" ? length(local.websocket_bypasses) == 0 : true
      error_message = "websocket_rule must be false: the service rule ${join(", and ", local.websocket_bypasses)}, and a request with \"Upgrade: websocket\" would bypass that in every phase. Leave websocket_rule out, or limit the service rule to a forward action, values of host_header and path_pattern, and no transforms."
    }
  }
}

# The wake rule has the same conditions as the service rule. It is created behind the service rule, so
# that applying the module does not affect a running service.
resource "aws_lb_listener_rule" "wake" {
  count = local.listener_path ? 1 : 0

  listener_arn = local.listener_arn
  priority     = local.parked_rule_priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.warmkeeper["wake"].arn
  }

  dynamic "condition" {
    for_each = local.host_conditions

    content {
      host_header {
        values = condition.value
      }
    }
  }

  condition {
    path_pattern {
      values = var.conditions.path_pattern
    }
  }

  tags = var.tags

  # The warmkeeper changes the priority with the phase of the service.
  lifecycle {
    ignore_changes = [priority]

    precondition {
      condition     = local.parked_rule_priority > local.service_rule_priority
      error_message = "parked_rule_priority is ${local.parked_rule_priority}${var.parked_rule_priority == null ? " (30000 + rule_priority)" : ""}; it must be greater than the service rule's priority, which is ${local.service_rule_priority}, or a new wake rule takes the running service's requests. ${local.service_rule_priority < 50000 ? "Write a free number from ${local.service_rule_priority + 1} to 50000." : "No number is greater than 50000: give the service rule a lower priority first."}"
    }
  }
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

  fixed_rule_arns = values(aws_lb_listener_rule.fixed)[*].arn
  group_arns      = { for role, group in aws_lb_target_group.warmkeeper : role => group.arn }

  # Names and numbers only; everything longer is in the settings item.
  environment = {
    NAME                      = var.name
    CLUSTER_NAME              = var.cluster_name
    SERVICE_NAMES             = var.service_name
    TARGET_GROUP_ARNS         = join(",", var.target_group_arns)
    SERVICE_RULE_ARN          = local.listener_path ? var.service_rule_arn : ""
    WAKE_RULE_ARN             = join("", aws_lb_listener_rule.wake[*].arn)
    OWN_RULE_ARNS             = join(",", local.fixed_rule_arns)
    RULE_PRIORITY             = local.listener_path ? tostring(var.rule_priority + local.rules_before_wake) : "0"
    PARKED_RULE_PRIORITY      = tostring(local.parked_rule_priority)
    WAKE_TARGET_GROUP_ARN     = lookup(local.group_arns, "wake", "")
    CONTROL_TARGET_GROUP_ARN  = lookup(local.group_arns, "control", "")
    CONTROL_PATH              = var.control_path
    HEARTBEAT_PATH            = local.heartbeat_wanted ? var.heartbeat.path : ""
    HEARTBEAT_TOKEN_PARAMETER = join("", local.heartbeat_tokens)
    TABLE_NAME                = aws_dynamodb_table.this.name
    TOPIC_ARN                 = aws_sns_topic.this.arn
    IDLE_ALARM_ARN            = local.idle_alarm_arn
    WAKE_ALARM_ARN            = local.listener_path ? "" : local.wake_alarm_arn
    METRIC_NAMESPACE          = local.metric_namespace
    IDLE_MINUTES              = tostring(var.idle_minutes)
    LINGER_SECONDS            = tostring(var.linger_seconds)
    MIN_AWAKE_MINUTES         = tostring(local.min_awake_minutes)
    AWAKE_COUNT               = tostring(var.awake_count)
    COLD_START_TARGET_SECONDS = tostring(var.cold_start_target_seconds)
    WAKE_DEADLINE_SECONDS     = tostring(var.wake_deadline_seconds)
    WAKE_BUDGET_PER_HOUR      = tostring(var.wake_budget_per_hour)
    WAKE_CONFIRMATION         = var.wake_confirmation
    UNSEEN_TRAFFIC            = var.unseen_traffic
    TRANSITION_NOTICES        = tostring(var.transition_notices)
    HOLD_SECONDS              = tostring(var.hold_seconds)
    HOLD_LIMIT                = tostring(var.hold_limit)
    WAITING_STATUS_CODE       = tostring(var.waiting_status_code)
    CORS_ALLOWED_ORIGINS      = join(",", var.cors_allowed_origins)
    RESTORE_ON_DESTROY        = tostring(var.restore_on_destroy)
  }

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
    resources = [local.service_arn]
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

  statement {
    sid       = "SeeTargets"
    actions   = ["elasticloadbalancing:DescribeTargetHealth"]
    resources = ["*"] # Describe calls of the load balancer take no resource
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
    for_each = aws_lb_listener_rule.wake[*].arn

    content {
      sid       = "MoveWakeRule"
      actions   = ["elasticloadbalancing:SetRulePriorities"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "ReadIdleAlarm"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = [local.idle_alarm_arn]
  }

  # An alarm that stays in ALARM does not invoke the function again, so the tick reads it.
  dynamic "statement" {
    for_each = local.listener_path ? [] : [local.wake_alarm_arn]

    content {
      sid       = "ReadWakeAlarm"
      actions   = ["cloudwatch:DescribeAlarms"]
      resources = [statement.value]
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
      condition     = !contains(["alb", "lambda"], local.target_type)
      error_message = "target_group_arns: the target group's target_type is \"${local.target_type}\", and no ECS task is a target of one. Write the ARN of the group with target_type \"ip\" or \"instance\" that the service's load_balancer block names."
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
      idle-alarm = { principal = "lambda.alarms.cloudwatch.amazonaws.com", source_arn = aws_cloudwatch_metric_alarm.idle.arn }
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
  event_rules = {
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
          group      = ["service:${var.service_name}"]
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
        resources     = [local.service_arn]
      })
      retries = 1
    }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.event_rules

  name                = "${var.name}-${each.key}"
  description         = substr(each.value.description, 0, 512) # AWS takes no more
  schedule_expression = each.value.schedule_expression
  event_pattern       = each.value.event_pattern
  tags                = var.tags
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
