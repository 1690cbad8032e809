# Every validation refuses what it is there for, at plan time. The limits themselves pass, and are
# applied: a plan alone leaves the check of the warmkeeper's answer open. What stands in one run is
# independent: a validation that looks at a refused variable is not evaluated.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled       = false # the mocked service rule has no conditions, whatever is given
  parked_rule_priority = 40000
}

run "refuses_one_thing_given_for_another" {
  command = plan

  variables {
    name                = "1web"
    cluster_name        = "arn:aws:ecs:eu-west-1:123456789012:cluster/staging"
    service_name        = "arn:aws:ecs:eu-west-1:123456789012:service/staging/web"
    target_group_arns   = ["web"]
    service_rule_arn    = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    load_balancer_arn   = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/edge/1111111111111111"
    control_path        = "/keeper/*"
    heartbeat           = { token_parameter_arn = "hunter2" }
    notification_emails = ["nobody"]
    log_retention_days  = 10
    kms_key_arn         = "alias/aws/sns"
    page                = { logo_data_uri = "https://example.com/logo.png" }
  }

  expect_failures = [var.name, var.cluster_name, var.service_name, var.target_group_arns, var.service_rule_arn, var.load_balancer_arn, var.control_path, var.heartbeat, var.notification_emails, var.log_retention_days, var.kms_key_arn, var.page]
}

run "refuses_a_url_given_for_a_host" {
  command = plan

  variables {
    conditions = { host_header = ["https://example.com"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_numbers_below_their_limit" {
  command = plan

  variables {
    rule_priority         = 0
    awake_count           = 0
    hold_seconds          = 9
    wake_deadline_seconds = 59
    idle_minutes          = 0
    linger_seconds        = 29
    memory_size           = 128
    log_retention_days    = 0
    page                  = { accent = "#0055aa", accent_dark = "#0055aa" } # the luminance of the second
    task_price_per_hour   = -0.01
  }

  expect_failures = [var.rule_priority, var.awake_count, var.hold_seconds, var.wake_deadline_seconds, var.idle_minutes, var.linger_seconds, var.memory_size, var.log_retention_days, var.page, var.task_price_per_hour]
}

run "refuses_numbers_above_their_limit" {
  command = plan

  variables {
    rule_priority         = 49997
    awake_count           = 5001
    hold_seconds          = 26
    wake_deadline_seconds = 841
    idle_minutes          = 1441
    linger_seconds        = 3601
    memory_size           = 10241
    page                  = { accent = "#00aa55", accent_dark = "#66cccc" } # the luminance of the first
    task_price_per_hour   = 100.01
  }

  expect_failures = [var.rule_priority, var.awake_count, var.hold_seconds, var.wake_deadline_seconds, var.idle_minutes, var.linger_seconds, var.memory_size, var.page, var.task_price_per_hour]
}

run "refuses_a_parked_number_that_no_listener_has" {
  command = plan

  variables {
    parked_rule_priority = 50001
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_half_a_parked_number" {
  command = plan

  variables {
    parked_rule_priority = 30000.5
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_a_parked_number_that_leaves_no_place_for_the_service_rule" {
  command = plan

  variables {
    parked_rule_priority = 13 # 10, 11 and 12 are taken
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_a_rule_number_without_a_parked_one_that_follows_from_it" {
  command = plan

  variables {
    rule_priority        = 20001
    parked_rule_priority = null
    checks_enabled       = true
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 20004 }
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_no_target_group" {
  command = plan

  variables {
    target_group_arns = []
  }

  expect_failures = [var.target_group_arns]
}

run "refuses_two_target_groups" {
  command = plan

  variables {
    target_group_arns = [
      "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef",
      "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/fedcba9876543210",
    ]
  }

  expect_failures = [var.target_group_arns]
}

run "refuses_to_park_where_it_may_not_look" {
  command = plan

  variables {
    parked_rule_priority = null
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_an_architecture_that_lambda_has_not_a_path_that_ends_nowhere_and_a_boundary_that_is_a_name" {
  command = plan

  variables {
    lambda_architecture       = "riscv"
    role_path                 = "/warmkeeper"
    role_permissions_boundary = "boundary"
    unseen_traffic            = "sleep"
  }

  expect_failures = [var.lambda_architecture, var.role_path, var.role_permissions_boundary, var.unseen_traffic]
}

run "refuses_fractions" {
  command = plan

  variables {
    rule_priority         = 10.5
    awake_count           = 1.5
    hold_seconds          = 12.5
    wake_deadline_seconds = 90.5
    idle_minutes          = 2.5
    linger_seconds        = 30.5
    memory_size           = 512.5
  }

  expect_failures = [var.rule_priority, var.awake_count, var.hold_seconds, var.wake_deadline_seconds, var.idle_minutes, var.linger_seconds, var.memory_size]
}

run "refuses_a_threshold_that_no_minute_is_below" {
  command = plan

  variables {
    idle_request_threshold = 0
  }

  expect_failures = [var.idle_request_threshold]
}

run "refuses_a_hold_limit_below_0" {
  command = plan

  variables {
    hold_limit = -1
  }

  expect_failures = [var.hold_limit]
}

run "refuses_a_hold_limit_above_what_an_account_has" {
  command = plan

  variables {
    hold_limit = 10001
  }

  expect_failures = [var.hold_limit]
}

run "refuses_a_status_that_is_not_for_a_waiting_page" {
  command = plan

  variables {
    waiting_status_code = 404
  }

  expect_failures = [var.waiting_status_code]
}

run "refuses_another_wake_confirmation" {
  command = plan

  variables {
    wake_confirmation = "captcha"
  }

  expect_failures = [var.wake_confirmation]
}

run "refuses_to_confirm_in_a_browser_where_there_is_no_page" {
  command = plan

  variables {
    wake_path         = "alarm"
    service_rule_arn  = null
    rule_priority     = null
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/staging/50dc6c495c0c9188"
    wake_confirmation = "browser"
  }

  expect_failures = [var.wake_confirmation]
}

run "refuses_origins_with_a_path" {
  command = plan

  variables {
    cors_allowed_origins = ["https://app.example.com/"]
  }

  expect_failures = [var.cors_allowed_origins]
}

run "refuses_more_origins_than_the_function_s_environment_holds" {
  command = plan

  variables {
    cors_allowed_origins = [for n in range(50) : "https://app-${n}.example.com"]
  }

  expect_failures = [var.cors_allowed_origins]
}

run "refuses_a_wake_budget_of_nothing" {
  command = plan

  variables {
    wake_budget_per_hour = 0
  }

  expect_failures = [var.wake_budget_per_hour]
}

run "refuses_a_wake_budget_beyond_what_is_remembered" {
  command = plan

  variables {
    wake_budget_per_hour = 11
  }

  expect_failures = [var.wake_budget_per_hour]
}

run "refuses_a_cold_start_target_of_nothing" {
  command = plan

  variables {
    cold_start_target_seconds = 0
  }

  expect_failures = [var.cold_start_target_seconds]
}

run "refuses_a_cold_start_target_after_the_deadline" {
  command = plan

  variables {
    cold_start_target_seconds = 301
  }

  expect_failures = [var.cold_start_target_seconds]
}

run "refuses_fractions_that_hang_on_other_numbers" {
  command = plan

  variables {
    cold_start_target_seconds = 30.5
    min_awake_minutes         = 8.5
  }

  expect_failures = [var.cold_start_target_seconds, var.min_awake_minutes]
}

run "refuses_awake_for_less_than_cloudwatch_is_late" {
  command = plan

  variables {
    idle_minutes      = 10
    min_awake_minutes = 12
  }

  expect_failures = [var.min_awake_minutes]
}

run "refuses_names_and_paths_one_character_too_long" {
  command = plan

  variables {
    name         = "abcdefghijklmnopqrstuvwxy"
    control_path = "/${join("", [for _ in range(100) : "a"])}"
    heartbeat    = { path = "/${join("", [for _ in range(128) : "a"])}" }
    page         = { texts = { de = {} }, html = "{{look_again}}${join("", [for n in range(297) : join("", [for m in range(100) : "0123456789"])])}" }
  }

  expect_failures = [var.name, var.control_path, var.heartbeat, var.page]
}

run "refuses_a_path_pattern_one_character_too_long" {
  command = plan

  variables {
    conditions = { path_pattern = ["/${join("", [for _ in range(128) : "a"])}"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_names_and_paths_that_end_wrongly" {
  command = plan

  variables {
    name         = "web-"
    control_path = "/keeper/"
    heartbeat    = { path = "/health*" }
    page         = { title = "Web " }
  }

  expect_failures = [var.name, var.control_path, var.heartbeat, var.page]
}

run "refuses_paths_that_begin_wrongly" {
  command = plan

  variables {
    control_path = "keeper"
    heartbeat    = { path = "health" }
    page         = { accent = "0055aa", accent_dark = "66cccc" }
  }

  expect_failures = [var.control_path, var.heartbeat, var.page]
}

run "refuses_a_path_pattern_that_begins_wrongly" {
  command = plan

  variables {
    conditions = { path_pattern = ["app/*"] }
    page       = { texts = { "1de" = { wake = "Wecken" } } }
  }

  expect_failures = [var.conditions, var.page]
}

run "refuses_a_control_path_that_is_everything" {
  command = plan

  variables {
    control_path = "/"
  }

  expect_failures = [var.control_path]
}

run "refuses_an_unknown_wake_path" {
  command = plan

  variables {
    wake_path = "dns"
    page      = { texts = { de = { wake_it = "Wecken" } } }
  }

  expect_failures = [var.wake_path, var.page]
}

run "refuses_the_listener_path_without_a_rule_and_a_number" {
  command = plan

  variables {
    service_rule_arn = null
    rule_priority    = null
  }

  expect_failures = [var.service_rule_arn, var.rule_priority]
}

run "refuses_the_alarm_path_without_a_load_balancer" {
  command = plan

  variables {
    wake_path = "alarm"
    page      = { accent = "#0055aa" }
  }

  expect_failures = [var.load_balancer_arn, var.page]
}

run "refuses_no_path_at_all" {
  command = plan

  variables {
    conditions = { path_pattern = [] }
    page       = { html = "<h1>{{title}}</h1>" }
  }

  expect_failures = [var.conditions, var.page]
}

run "refuses_a_rule_with_six_values" {
  command = plan

  variables {
    conditions = { host_header = ["a.example.com", "b.example.com", "c.example.com"], path_pattern = ["/a", "/b", "/c"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_four_hosts_beside_a_heartbeat_rule" {
  command = plan

  variables {
    conditions = { host_header = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"], path_pattern = ["/"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_five_hosts_beside_the_control_path" {
  command = plan

  variables {
    conditions = { host_header = ["a", "b", "c", "d", "e"], path_pattern = ["/"] }
    heartbeat  = { enabled = false }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_rule_with_six_wildcards" {
  command = plan

  variables {
    conditions = { host_header = ["*.a.*"], path_pattern = ["/*/*", "/?/?"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_five_wildcards_beside_the_control_rules_own" {
  command = plan

  variables {
    conditions = { host_header = ["*.*.a.*", "?.b.?"], path_pattern = ["/"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_class_that_is_no_word" {
  command = plan

  variables {
    wake_policy = { ignore_also = [{ class = "Our monitors", paths = ["/ping"] }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_an_unknown_answer" {
  command = plan

  variables {
    wake_policy = { ignore_also = [{ class = "ours", answer = "418", paths = ["/ping"] }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_a_rule_that_would_match_everybody" {
  command = plan

  variables {
    wake_policy = { ignore = [{ class = "everybody" }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_a_method_in_small_letters" {
  command = plan

  variables {
    wake_policy = { ignore_also = [{ class = "ours", methods = ["get"] }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_an_ignored_path_that_begins_nowhere" {
  command = plan

  variables {
    wake_policy = { ignore_also = [{ class = "ours", paths = ["ping", ""] }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_a_policy_that_the_item_of_the_page_has_no_room_for" {
  command = plan

  variables {
    wake_policy = { ignore_also = [{ class = "ours", user_agents = [for n in range(1000) : format("%0100d", n)] }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_a_user_agent_that_is_part_of_every_other" {
  command = plan

  variables {
    wake_policy = { ignore = [{ class = "ours", user_agents = ["   "] }] }
  }

  expect_failures = [var.wake_policy]
}

run "refuses_an_address_that_is_no_range" {
  command = plan

  variables {
    wake_policy = { ignore_also = [{ class = "ours", source_ranges = ["203.0.113.7"] }] }
  }

  expect_failures = [var.wake_policy]
}

run "accepts_ranges_of_both_kinds_and_a_policy_without_a_rule" {
  variables {
    wake_policy = {
      ignore      = []
      ignore_also = [for answer in ["asleep", "not-found", "unavailable", "wake"] : { class = "office-monitors", answer = answer, methods = ["M-SEARCH"], paths = ["*"], user_agents = ["abc"], source_ranges = ["203.0.113.0/24", "2001:db8::/32"] }]
    }
  }

  assert {
    condition     = join(" ", [for rule in jsondecode(local.settings).wake_policy : "${rule.class}:${rule.answer}"]) == "checkers:asleep office-monitors:asleep office-monitors:not-found office-monitors:unavailable office-monitors:wake"
    error_message = "the checkers come first, then one's own with their answers, and nothing is added"
  }
}

run "refuses_five_values_beside_an_upgrade" {
  command = plan

  variables {
    conditions     = { host_header = ["a.example.com", "b.example.com"], path_pattern = ["/a", "/b", "/c"] }
    websocket_rule = true
  }

  expect_failures = [var.websocket_rule]
}

run "refuses_a_rule_number_that_leaves_no_place_for_the_websocket_rule" {
  command = plan

  variables {
    rule_priority  = 49996
    websocket_rule = true
  }

  expect_failures = [var.rule_priority]
}

run "accepts_the_limits_with_a_websocket_rule" {
  variables {
    conditions           = { host_header = ["a.example.com", "b.example.com"], path_pattern = ["/a", "/b"] }
    rule_priority        = 49995
    parked_rule_priority = 50000
    websocket_rule       = true
  }
}

run "accepts_the_lower_limits" {
  variables {
    name                      = "w"
    conditions                = { host_header = ["a.example.com", "b.example.com", "c.example.com"], path_pattern = ["/a", "/b"] }
    rule_priority             = 1
    parked_rule_priority      = 5
    role_path                 = "/"
    awake_count               = 1
    hold_seconds              = 10
    wake_deadline_seconds     = 60
    cold_start_target_seconds = 1
    idle_minutes              = 1
    linger_seconds            = 30
    min_awake_minutes         = 4
    memory_size               = 256
    log_retention_days        = 1
    page                      = { title = "W", accent = "#000000", accent_dark = "#ffffff", texts = { fr = {} } }
    task_price_per_hour       = 0
  }
}

run "accepts_the_highest_number_that_another_follows_from" {
  variables {
    rule_priority        = 20000
    parked_rule_priority = null
    checks_enabled       = true
  }

  override_data {
    target = data.aws_lb_listener_rule.service
    values = { priority = 20003 }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.PARKED_RULE_PRIORITY == "50000"
    error_message = "30000 and the number given"
  }
}

run "accepts_the_upper_limits" {
  variables {
    name                      = "abcdefghijklmnopqrstuvwx"
    conditions                = { host_header = ["*.a.*", "?.b.?"], path_pattern = ["/a", "/b", "/*"] }
    rule_priority             = 49996
    parked_rule_priority      = 50000
    role_path                 = "/${join("", [for _ in range(510) : "a"])}/"
    role_permissions_boundary = "arn:aws:iam::aws:policy/PowerUserAccess"
    lambda_architecture       = "x86_64"
    unseen_traffic            = "ignore"
    awake_count               = 5000
    hold_seconds              = 25
    wake_deadline_seconds     = 840
    cold_start_target_seconds = 840
    idle_minutes              = 1440
    linger_seconds            = 3600
    memory_size               = 10240
    log_retention_days        = 3653
    page                      = { accent = "#4d9200", accent_dark = "#ff0000", texts = { "zh-Hant-TW" = { wake = "喚醒" } } }
    task_price_per_hour       = 100
  }
}
