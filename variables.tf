# ---------------------------------------------------------------------------------------------
# What sleeps
# ---------------------------------------------------------------------------------------------

variable "name" {
  description = <<-EOT
    Prefix of everything that the module makes, unique within the account (an IAM role has no region).
    At most 24 characters, so that the longest derived name, a target group's, keeps to its 32.
  EOT
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z]([a-zA-Z0-9-]{0,22}[a-zA-Z0-9])?$", var.name))
    error_message = "name must be 1 to 24 letters, digits and hyphens, begin with a letter and not end with a hyphen; got \"${var.name}\" (${length(var.name)} characters). Write for example \"staging-web\"."
  }
}

variable "cluster_name" {
  description = "Name (not ARN) of the ECS cluster. A name can be given before the cluster exists."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,255}$", var.cluster_name))
    error_message = "cluster_name must be the cluster's name; got \"${var.cluster_name}\". Of an ARN, write what follows \"cluster/\"."
  }
}

variable "service_name" {
  description = "Name (not ARN) of the ECS service. The service may be created before or after the module."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_-]{1,255}$", var.service_name))
    error_message = "service_name must be the service's name; got \"${var.service_name}\". Of an ARN, write what follows the last \"/\"."
  }
}

variable "target_group_arn" {
  description = "ARN of the service's own target group. The module reads its health and its RequestCount, and changes nothing on it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:targetgroup/[^/]+/[^/]+$", var.target_group_arn))
    error_message = "target_group_arn must be a target group's ARN; got \"${var.target_group_arn}\". Write the arn attribute of the service's aws_lb_target_group."
  }
}

# ---------------------------------------------------------------------------------------------
# How it is woken
# ---------------------------------------------------------------------------------------------

variable "wake_path" {
  description = <<-EOT
    "listener": a listener rule hands the first request to the Lambda, which wakes the service and
    sees the client through. "alarm": CloudWatch notices 503s and wakes the service after one to
    three minutes; the client is on its own. A value of its own because `count` has to be known at
    plan time, which an ARN need not be.
  EOT
  type        = string
  default     = "listener"
  nullable    = false

  validation {
    condition     = contains(["listener", "alarm"], var.wake_path)
    error_message = "wake_path must be \"listener\" or \"alarm\"; got \"${var.wake_path}\"."
  }
}

variable "service_rule_arn" {
  description = "ARN of your own listener rule that forwards to `target_group_arn`. Needed on the listener path. The module never changes it."
  type        = string
  default     = null

  validation {
    condition     = var.wake_path == "listener" ? var.service_rule_arn != null : true
    error_message = "service_rule_arn must be set where wake_path is \"listener\"; got null. Write the arn of the aws_lb_listener_rule that forwards to the service, or set wake_path = \"alarm\"."
  }

  validation {
    condition     = var.service_rule_arn == null ? true : can(regex("^arn:[^:]+:elasticloadbalancing:[^:]+:[0-9]{12}:listener-rule/app/[^/]+/[^/]+/[^/]+/[^/]+$", var.service_rule_arn))
    error_message = "service_rule_arn must be the ARN of a rule on an Application Load Balancer's listener; got \"${coalesce(var.service_rule_arn, "null")}\". Write the arn of an aws_lb_listener_rule (a listener's default action cannot be shadowed: give the service a rule)."
  }
}

variable "load_balancer_arn" {
  description = "ARN of the Application Load Balancer. Needed on the alarm path only; on the listener path it follows from `service_rule_arn`."
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
  description = <<-EOT
    The conditions of your service rule, host headers and path patterns, exactly as they stand there:
    the wake rule has to match what the service rule matches. Inputs rather than a data source, which
    would lag one apply behind a change. No hosts: any host.
  EOT
  type = object({
    hosts = optional(list(string), [])
    paths = optional(list(string), ["/*"])
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for host in var.conditions.hosts : can(regex("^[a-zA-Z0-9.*?-]{1,128}$", host))])
    error_message = "conditions.hosts must be host names of at most 128 characters, * and ? allowed; got ${jsonencode(var.conditions.hosts)}. Write for example \"staging.example.com\", without scheme or port."
  }

  validation {
    condition     = length(var.conditions.paths) > 0 && alltrue([for path in var.conditions.paths : can(regex("^[/*][^\\s]{0,127}$", path))])
    error_message = "conditions.paths must be at least one path pattern that begins with / or *, of at most 128 characters; got ${jsonencode(var.conditions.paths)}. Write [\"/*\"] for every path."
  }

  # A rule takes five values and five wildcards over all its conditions:
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
  validation {
    condition     = length(var.conditions.hosts) + length(var.conditions.paths) <= 5
    error_message = "conditions must hold at most 5 hosts and paths together, which is what one listener rule takes; got ${length(var.conditions.hosts)} hosts and ${length(var.conditions.paths)} paths. Use a wildcard, or put the services behind listeners of their own."
  }

  validation {
    condition     = local.heartbeat_rule_wanted ? length(var.conditions.hosts) <= 3 : length(var.conditions.hosts) <= 4
    error_message = "conditions.hosts must be at most 4, and 3 with a heartbeat rule, whose path and method are two of a rule's 5 values; got ${length(var.conditions.hosts)}. Use a wildcard host, or put heartbeat.path below control_path, which needs no rule of its own."
  }

  validation {
    condition     = length(regexall("[*?]", join("", concat(var.conditions.hosts, var.conditions.paths)))) <= 5
    error_message = "conditions must hold at most 5 wildcards (* and ?), which is what one listener rule takes; got ${length(regexall("[*?]", join("", concat(var.conditions.hosts, var.conditions.paths))))}. Write some of the values out."
  }

  validation {
    condition     = length(regexall("[*?]", join("", var.conditions.hosts))) <= 4
    error_message = "conditions.hosts must hold at most 4 wildcards (* and ?): the control rule adds one of its own to them; got ${length(regexall("[*?]", join("", var.conditions.hosts)))}. Write some of the hosts out."
  }
}

variable "rule_priority" {
  description = <<-EOT
    The first of three free priorities before your service rule's: control rule, heartbeat rule, and
    the wake rule when it is up (`rule_priority`, + 1, + 2). Needed on the listener path.
  EOT
  type        = number
  default     = null

  validation {
    condition     = var.wake_path == "listener" ? var.rule_priority != null : true
    error_message = "rule_priority must be set where wake_path is \"listener\"; got null. Write the first of three free numbers that are lower than your service rule's priority."
  }

  validation {
    condition     = var.rule_priority == null ? true : var.rule_priority >= 1 && var.rule_priority <= 49997 && floor(var.rule_priority) == var.rule_priority
    error_message = "rule_priority must be a whole number from 1 to 49997, so that it and the two after it are below a service rule's; got ${var.rule_priority == null ? "null" : tostring(var.rule_priority)}."
  }
}

variable "control_path" {
  description = "Path below which the load balancer always asks the Lambda: status, wake and heartbeat. Choose one that your application does not use, and one of its own for each module where several share a host."
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
  description = "How long one API request is held, in seconds, before it is sent round again by a 307."
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.hold_seconds >= 10 && var.hold_seconds <= 25 && floor(var.hold_seconds) == var.hold_seconds
    error_message = "hold_seconds must be a whole number from 10 to 25: below the time-outs of clients and of CloudFront (30 s), and not so short that a client runs out of redirects; got ${var.hold_seconds}."
  }
}

variable "hold_limit" {
  description = "How many API requests may begin to be held within `hold_seconds`. Each holds a Lambda; one more gets its 503 with `Retry-After` at once. In an account whose Lambda concurrency is still 10, write 5."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.hold_limit >= 0 && var.hold_limit <= 10000 && floor(var.hold_limit) == var.hold_limit
    error_message = "hold_limit must be a whole number from 0 (hold nothing) to 10000; got ${var.hold_limit}. Of as many again the hold may not be over yet, so leave the account's concurrency twice this."
  }
}

variable "waiting_status_code" {
  description = <<-EOT
    Status of the waiting page: 503, or 202 or 200 where a proxy in front does not let a 503 through as
    it is. CloudFront keeps a 503 for ten seconds for everybody, Cloudflare may show its own page
    instead. An API answer is 503 in any case: a program must not take it for the application's.
  EOT
  type        = number
  default     = 503
  nullable    = false

  validation {
    condition     = contains([503, 202, 200], var.waiting_status_code)
    error_message = "waiting_status_code must be 503, 202 or 200; got ${var.waiting_status_code}. Write 503 unless a proxy replaces or stores the page."
  }
}

variable "wake_confirmation" {
  description = <<-EOT
    "request": any request that `wake_policy` does not ignore wakes the service. "browser": only the
    waiting page does, by its script, or `POST` to the control path's `wake`. What runs no script then
    wakes nothing: no scanner, but no API client either.
  EOT
  type        = string
  default     = "request"
  nullable    = false

  validation {
    condition     = contains(["request", "browser"], var.wake_confirmation)
    error_message = "wake_confirmation must be \"request\" or \"browser\"; got \"${var.wake_confirmation}\"."
  }

  validation {
    condition     = var.wake_confirmation == "browser" ? var.wake_path == "listener" : true
    error_message = "wake_confirmation = \"browser\" must go with wake_path = \"listener\", whose waiting page does it; got wake_path = \"${var.wake_path}\". Leave wake_confirmation out on the alarm path."
  }
}

variable "cors_allowed_origins" {
  description = "Origins whose pages may read the warmkeeper's own answers (307, 503, status) across origins: `https://app.example.com`, or `*` for any. An origin that is named, and not only covered by `*`, may send credentials. What the application allows is its own."
  type        = list(string)
  default     = ["*"]
  nullable    = false

  validation {
    condition     = alltrue([for origin in var.cors_allowed_origins : can(regex("^(\\*|https?://[a-z0-9.-]+(:[0-9]+)?)$", origin))])
    error_message = "cors_allowed_origins must be origins as browsers send them, in lower case and without a path, or \"*\"; got ${jsonencode(var.cors_allowed_origins)}. Write for example [\"https://app.example.com\"]."
  }
}

variable "wake_deadline_seconds" {
  description = "How long a wake may take, in seconds, before it is given up and the topic is told why."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.wake_deadline_seconds >= 60 && var.wake_deadline_seconds <= 840 && floor(var.wake_deadline_seconds) == var.wake_deadline_seconds
    error_message = "wake_deadline_seconds must be a whole number from 60 to 840; got ${var.wake_deadline_seconds}. Fargate alone needs 20 to 60 s, and the function that waits for a wake may run for 900 s."
  }
}

variable "cold_start_target_seconds" {
  description = "The cold start you want, in seconds from the first request to the first live target. A slower one raises an alarm."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.cold_start_target_seconds >= 1 && var.cold_start_target_seconds <= var.wake_deadline_seconds && floor(var.cold_start_target_seconds) == var.cold_start_target_seconds
    error_message = "cold_start_target_seconds must be a whole number from 1 to wake_deadline_seconds (${var.wake_deadline_seconds}), after which a wake is given up; got ${var.cold_start_target_seconds}."
  }
}

# ---------------------------------------------------------------------------------------------
# When it falls asleep
# ---------------------------------------------------------------------------------------------

variable "idle_minutes" {
  description = "Minutes without a request after which the service is drowsy."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.idle_minutes >= 1 && var.idle_minutes <= 1440 && floor(var.idle_minutes) == var.idle_minutes
    error_message = "idle_minutes must be a whole number from 1 to 1440, the day that one alarm can look back; got ${var.idle_minutes}."
  }
}

variable "idle_request_threshold" {
  description = <<-EOT
    A minute with fewer requests than this counts as idle. 1: any request keeps the service awake. Write
    more where probes that you cannot send elsewhere come by the minute: with 3, two a minute keep nothing
    awake, and neither does a person who asks for no more than that.
  EOT
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.idle_request_threshold >= 1 && floor(var.idle_request_threshold) == var.idle_request_threshold
    error_message = "idle_request_threshold must be a whole number, 1 or more; got ${var.idle_request_threshold}. With 0 no minute would be idle, and the service would never sleep."
  }
}

variable "linger_seconds" {
  description = "How long a drowsy service keeps its tasks, in seconds: a request in that time is served without a cold start."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.linger_seconds >= 30 && var.linger_seconds <= 3600 && floor(var.linger_seconds) == var.linger_seconds
    error_message = "linger_seconds must be a whole number from 30 to 3600; got ${var.linger_seconds}. A rule has been seen to take some 10 s to reach the load balancer's nodes, and below 30 the tasks could be gone before that."
  }
}

variable "min_awake_minutes" {
  description = "Minutes that a service stays awake after a wake, whatever the alarm says. Null: `idle_minutes` and three more, which is how late CloudWatch is."
  type        = number
  default     = null

  validation {
    condition     = var.min_awake_minutes == null ? true : var.min_awake_minutes >= var.idle_minutes + 3 && floor(var.min_awake_minutes) == var.min_awake_minutes
    error_message = "min_awake_minutes must be a whole number of at least idle_minutes + 3 (${var.idle_minutes + 3}), because CloudWatch sees a request up to three minutes late; got ${var.min_awake_minutes == null ? "null" : tostring(var.min_awake_minutes)}. Leave it out to have just that."
  }
}

variable "wake_budget_per_hour" {
  description = "How often the service may be woken within an hour. With the last of them it stays awake until the first is an hour ago, and the topic is told: falling asleep again and again costs more than it saves, and makes people wait."
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.wake_budget_per_hour >= 1 && var.wake_budget_per_hour <= 10 && floor(var.wake_budget_per_hour) == var.wake_budget_per_hour
    error_message = "wake_budget_per_hour must be a whole number from 1 to 10, as many wakes as are remembered; got ${var.wake_budget_per_hour}. More than 10 an hour hardly happen with the shortest idle_minutes: 10 is as good as no limit."
  }
}

variable "heartbeat" {
  description = <<-EOT
    Activity that the load balancer does not count, told by `POST` to `path` on the service's own
    hosts. `token_parameter_arn` is an SSM SecureString with the bearer token: the secret itself is
    neither in the state nor in the environment. It is encrypted with the account's key for SSM or
    with `kms_key_arn`. On the alarm path no listener rule leads to the Lambda, and there is none.
  EOT
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

variable "restore_on_destroy" {
  description = "Wake the service and leave it up when the module is destroyed. False: leave it as it is, asleep if need be."
  type        = bool
  default     = true
  nullable    = false
}

# ---------------------------------------------------------------------------------------------
# Who is told, and what is kept
# ---------------------------------------------------------------------------------------------

variable "notification_emails" {
  description = "E-mail addresses that are subscribed to the topic. Each gets a mail with a link to confirm."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for email in var.notification_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "notification_emails must be e-mail addresses; got ${jsonencode(var.notification_emails)}. Write for example [\"team@example.com\"]."
  }
}

variable "dashboard_enabled" {
  description = "Make a CloudWatch dashboard. Off because a fourth dashboard in an account costs 3 USD a month, three times the rest."
  type        = bool
  default     = false
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that the Lambda's log is kept."
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch Logs knows (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653); got ${var.log_retention_days}."
  }
}

variable "memory_size" {
  description = "Memory of the Lambda in MB. Its share of a CPU grows with it: below 512, importing boto3 delays the first request."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.memory_size >= 256 && var.memory_size <= 10240 && floor(var.memory_size) == var.memory_size
    error_message = "memory_size must be a whole number of MB from 256 to 10240; got ${var.memory_size}. At 128 MB the start alone takes seconds."
  }
}

variable "kms_key_arn" {
  description = <<-EOT
    A key of yours for the topic, the table and the log. Null: AWS's own, at no cost. Its policy has to
    let `cloudwatch.amazonaws.com` and `logs.REGION.amazonaws.com` use it, or alarms and log lines get lost.
  EOT
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key; got \"${coalesce(var.kms_key_arn, "null")}\". Write the arn of an aws_kms_key, not an alias."
  }
}

variable "checks_enabled" {
  description = "Look at the service rule, its listener and the target group while planning, and warn of what would cost requests or money. False: for a caller that may not `elasticloadbalancing:Describe*`, or an ARN of what is gone."
  type        = bool
  default     = true
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that the module makes."
  type        = map(string)
  default     = {}
  nullable    = false
}
