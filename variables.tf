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
  description = "Name (not ARN) of the ECS service, which may be created before or after the module."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,255}$", var.service_name))
    error_message = "service_name must be the service's name; got \"${var.service_name}\". From an ARN, take the part after the last \"/\"."
  }
}

variable "target_group_arns" {
  description = "ARN of the service's own target group, as a list of one; the module reads its health and RequestCount and does not change it."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.target_group_arns) == 1
    error_message = "target_group_arns must hold exactly one ARN, because the module follows one target group; got ${length(var.target_group_arns)}. Write [aws_lb_target_group.NAME.arn], the group that the service's load_balancer block names."
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
  description = "ARN of your own listener rule that forwards to the service, required on the listener path; the module never changes it."
  type        = string
  default     = null

  validation {
    condition     = var.wake_path == "listener" ? var.service_rule_arn != null : true
    error_message = "service_rule_arn must be set where wake_path is \"listener\"; got null. Write the arn of the aws_lb_listener_rule that forwards to the service, or set wake_path = \"alarm\"."
  }

  validation {
    condition     = var.service_rule_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener-rule/app/[^/]+/[^/]+/[^/]+/[^/]+$", var.service_rule_arn))
    error_message = "service_rule_arn must be the ARN of a rule on an Application Load Balancer's listener; got \"${coalesce(var.service_rule_arn, "null")}\". Write the arn of an aws_lb_listener_rule (not of a listener: no rule can be placed behind a default action, so give the service a rule)."
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
  description = "The host and path conditions of your service rule, exactly as in that rule; no host header means any host."
  type = object({
    host_header  = optional(list(string), [])
    path_pattern = optional(list(string), ["/*"])
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for host in var.conditions.host_header : can(regex("^[a-zA-Z0-9._*?-]{1,128}$", host))])
    error_message = "conditions.host_header must be host names of at most 128 characters, * and ? allowed; got ${jsonencode(var.conditions.host_header)}. Write for example \"staging.example.com\", without scheme or port."
  }

  validation {
    condition     = length(var.conditions.path_pattern) > 0 && alltrue([for path in var.conditions.path_pattern : can(regex("^[/*][^\\s]{0,127}$", path))])
    error_message = "conditions.path_pattern must be at least one path pattern that begins with / or *, of at most 128 characters; got ${jsonencode(var.conditions.path_pattern)}. Write [\"/*\"] for every path."
  }

  # A rule takes five values and five wildcards over all its conditions:
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
  validation {
    condition     = length(var.conditions.host_header) + length(var.conditions.path_pattern) <= 5
    error_message = "conditions must hold at most 5 values of host_header and path_pattern together, the limit of one listener rule; got ${length(var.conditions.host_header)} of host_header and ${length(var.conditions.path_pattern)} of path_pattern. Use a wildcard, or put the services behind listeners of their own."
  }

  validation {
    condition     = local.heartbeat_rule_wanted ? length(var.conditions.host_header) <= 3 : length(var.conditions.host_header) <= 4
    error_message = "conditions.host_header must have at most 4 values, or 3 with a heartbeat rule, whose path and method count as two of a rule's 5 values; got ${length(var.conditions.host_header)}. Use a wildcard host, or put heartbeat.path below control_path, where it needs no rule."
  }

  validation {
    condition     = length(regexall("[*?]", join("", concat(var.conditions.host_header, var.conditions.path_pattern)))) <= 5
    error_message = "conditions must hold at most 5 wildcards (* and ?), the limit of one listener rule; got ${length(regexall("[*?]", join("", concat(var.conditions.host_header, var.conditions.path_pattern))))}. Write some of the values out."
  }

  validation {
    condition     = length(regexall("[*?]", join("", var.conditions.host_header))) <= 4
    error_message = "conditions.host_header must hold at most 4 wildcards (* and ?), because the control rule adds one to them; got ${length(regexall("[*?]", join("", var.conditions.host_header)))}. Write some of the hosts out."
  }
}

variable "rule_priority" {
  description = "The first of three free priorities (four with `websocket_rule`) before your service rule's, required on the listener path."
  type        = number
  default     = null

  validation {
    condition     = var.wake_path == "listener" ? var.rule_priority != null : true
    error_message = "rule_priority must be set where wake_path is \"listener\"; got null. Write the first of three free numbers (four with websocket_rule) that are lower than your service rule's priority."
  }

  validation {
    condition     = var.rule_priority == null ? true : var.rule_priority >= 1 && var.rule_priority + local.rules_before_wake <= 49998 && floor(var.rule_priority) == var.rule_priority
    error_message = "rule_priority must be a whole number from 1 to ${49998 - local.rules_before_wake}, because the ${local.rules_before_wake} numbers after it, the service rule's number and one number behind that follow, up to 50000; got ${var.rule_priority == null ? "null" : tostring(var.rule_priority)}."
  }
}

variable "parked_rule_priority" {
  description = "The wake rule's priority while the service is awake: a free number greater than your service rule's; null means 30000 + `rule_priority`."
  type        = number
  default     = null

  # Rule numbers go from 1 to 50000, both included:
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html
  validation {
    condition     = var.parked_rule_priority == null ? true : var.parked_rule_priority <= 50000 && floor(var.parked_rule_priority) == var.parked_rule_priority
    error_message = "parked_rule_priority must be a whole number of at most 50000, the last number of a listener; got ${var.parked_rule_priority == null ? "null" : tostring(var.parked_rule_priority)}. Write a free number behind the service rule's, or leave it out to use 30000 + rule_priority."
  }

  validation {
    condition     = var.parked_rule_priority == null ? true : var.parked_rule_priority >= coalesce(var.rule_priority, 1) + local.rules_before_wake + 2
    error_message = "parked_rule_priority must be at least ${coalesce(var.rule_priority, 1) + local.rules_before_wake + 2}, because the service rule stands between it and the ${local.rules_before_wake + 1} numbers from rule_priority on; got ${var.parked_rule_priority == null ? "null" : tostring(var.parked_rule_priority)}. Write a free number behind the service rule's."
  }

  validation {
    condition     = var.parked_rule_priority == null && var.wake_path == "listener" ? coalesce(var.rule_priority, 1) <= 20000 : true
    error_message = "parked_rule_priority must be set where rule_priority is above 20000, because 30000 + rule_priority would be more than 50000; got null, and ${coalesce(var.rule_priority, 1)} for rule_priority. Write a free number behind the service rule's, at most 50000."
  }

  validation {
    condition     = var.parked_rule_priority == null && var.wake_path == "listener" ? var.checks_enabled : true
    error_message = "parked_rule_priority must be set where checks_enabled is false, because the module then cannot check that 30000 + rule_priority is greater than the service rule's priority, and a wake rule before the service rule would take the running service's requests; got null. Write a free number behind the service rule's."
  }
}

variable "websocket_rule" {
  description = "Add a listener rule that passes WebSocket upgrades to the service in every phase, so that a drowsy service accepts them."
  type        = bool
  default     = false
  nullable    = false

  # The values of hosts, paths and the header count towards the rule's limit of five.
  validation {
    condition     = var.websocket_rule ? length(var.conditions.host_header) + length(var.conditions.path_pattern) <= 4 : true
    error_message = "websocket_rule must be false with ${length(var.conditions.host_header)} values of host_header and ${length(var.conditions.path_pattern)} of path_pattern in conditions: a rule takes 5 values, and the upgrade is one of them. Use a wildcard, so that conditions has at most 4 together."
  }
}

variable "control_path" {
  description = "Path below which every request goes to the Lambda (status, health, wake, heartbeat); several modules on one host need different paths."
  type        = string
  default     = "/.warmkeeper"
  nullable    = false

  validation {
    condition     = can(regex("^(/[a-zA-Z0-9._~-]+)+$", var.control_path)) && length(var.control_path) <= 100
    error_message = "control_path must begin with /, not end with one, and hold at most 100 letters, digits and . _ ~ - between its slashes; got \"${var.control_path}\". Write for example \"/.warmkeeper\"."
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
  description = "The cold start that you want, in seconds from the first request to the first live target; a slower one raises an alarm."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.cold_start_target_seconds >= 1 && var.cold_start_target_seconds <= var.wake_deadline_seconds && floor(var.cold_start_target_seconds) == var.cold_start_target_seconds
    error_message = "cold_start_target_seconds must be a whole number from 1 to wake_deadline_seconds (${var.wake_deadline_seconds}), after which a wake is given up; got ${var.cold_start_target_seconds}."
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
  description = "Activity that the load balancer does not count, reported by `POST` to `path`; `token_parameter_arn` names an SSM SecureString with a bearer token."
  type = object({
    enabled             = optional(bool, true)
    path                = optional(string, "/health")
    token_parameter_arn = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^/[a-zA-Z0-9._~/-]{1,127}$", var.heartbeat.path))
    error_message = "heartbeat.path must begin with / and hold at most 127 letters, digits and . _ ~ / - after it, no wildcards; got \"${coalesce(var.heartbeat.path, "null")}\". Write for example \"/health\"."
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
