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
    notification_emails = ["nobody"]
    log_retention_days  = 10
    kms_key_arn         = "alias/aws/sns"
    page                = { logo_data_uri = "https://example.com/logo.png" }
  }

  expect_failures = [var.name, var.cluster_name, var.service_name, var.target_group_arns, var.service_rule_arn, var.load_balancer_arn, var.control_path, var.notification_emails, var.log_retention_days, var.kms_key_arn, var.page]
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

run "refuses_six_target_groups" {
  command = plan

  variables {
    target_group_arns = [for n in range(6) : "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-${n}/0123456789abcdef"]
  }

  expect_failures = [var.target_group_arns]
}

# A plan does not know the size: the rules have no ARNs yet.
run "refuses_more_than_the_function_s_environment_holds" {
  variables {
    target_group_arns    = [for n in range(5) : "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-${n}/0123456789abcdef"]
    service_connect      = [for n in range(20) : { discovery_name = "${n}-${join("", [for _ in range(60) : "a"])}" }]
    cors_allowed_origins = [for n in range(30) : "https://app-${n}.example.com"]
  }

  expect_failures = [aws_lambda_function.this]
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

run "refuses_a_public_url_where_there_is_no_control_path" {
  command = plan

  variables {
    wake_path         = "alarm"
    service_rule_arn  = null
    rule_priority     = null
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/staging/50dc6c495c0c9188"
    public_url        = "https://staging.example.com"
  }

  expect_failures = [var.public_url]
}

run "refuses_a_public_url_with_a_query" {
  command = plan

  variables {
    public_url = "https://staging.example.com?a=b"
  }

  expect_failures = [var.public_url]
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
    public_url   = "staging.example.com"
    page         = { texts = { de = {} }, html = "{{look_again}}${join("", [for n in range(297) : join("", [for m in range(100) : "0123456789"])])}" }
  }

  expect_failures = [var.name, var.control_path, var.public_url, var.page]
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
    public_url   = "https://staging.example.com/"
    page         = { title = "Web " }
  }

  expect_failures = [var.name, var.control_path, var.public_url, var.page]
}

run "refuses_paths_that_begin_wrongly" {
  command = plan

  variables {
    control_path = "keeper"
    public_url   = "ftp://staging.example.com"
    page         = { accent = "0055aa", accent_dark = "66cccc" }
  }

  expect_failures = [var.control_path, var.public_url, var.page]
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

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_four_hosts_beside_a_heartbeat_rule" {
  command = plan

  variables {
    conditions = { host_header = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"], path_pattern = ["/"] }
  }

  expect_failures = [aws_lb_listener_rule.fixed]
}

run "refuses_five_hosts_beside_the_control_path" {
  command = plan

  variables {
    conditions = { host_header = ["a", "b", "c", "d", "e"], path_pattern = ["/"] }
    heartbeat  = { enabled = false }
  }

  expect_failures = [aws_lb_listener_rule.fixed, aws_lb_listener_rule.wake]
}

run "refuses_a_rule_with_six_wildcards" {
  command = plan

  variables {
    conditions = { host_header = ["*.a.*"], path_pattern = ["/*/*", "/?/?"] }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_five_wildcards_beside_the_control_rules_own" {
  command = plan

  variables {
    conditions = { host_header = ["*.*.a.*", "?.b.?"], path_pattern = ["/"] }
  }

  expect_failures = [aws_lb_listener_rule.fixed]
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

  expect_failures = [aws_lb_listener_rule.fixed]
}

run "refuses_a_websocket_rule_for_several_target_groups" {
  command = plan

  variables {
    websocket_rule = true
    target_group_arns = [
      "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef",
      "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/0123456789abcdef",
    ]
  }

  expect_failures = [aws_lb_listener_rule.fixed["this/websocket"]]
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
    condition     = strcontains(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "/50000 ")
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

run "refuses_conditions_that_no_rule_takes" {
  command = plan

  variables {
    conditions = { http_header = [{ http_header_name = "Host", values = ["example.com"] }] }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_header_without_a_value" {
  command = plan

  variables {
    conditions = { http_header = [{ http_header_name = "X-Origin-Secret", values = [] }] }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_method_condition_in_small_letters" {
  command = plan

  variables {
    conditions = { http_request_method = ["get"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_pair_without_a_value" {
  command = plan

  variables {
    conditions = { query_string = [{ key = "version", value = "" }] }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_source_that_is_no_range" {
  command = plan

  variables {
    conditions = { source_ip = ["203.0.113.7"] }
  }

  expect_failures = [var.conditions]
}

run "refuses_a_rule_that_the_module_is_to_make_and_that_there_is" {
  command = plan

  variables {
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  expect_failures = [var.service_rule_arn]
}

run "refuses_to_make_a_rule_on_no_listener" {
  command = plan

  variables {
    service_rule_arn    = null
    create_service_rule = true
  }

  expect_failures = [var.listener_arn]
}

run "refuses_a_load_balancer_given_for_a_listener" {
  command = plan

  variables {
    service_rule_arn    = null
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
  }

  expect_failures = [var.listener_arn]
}

run "refuses_a_listener_that_follows_from_the_rule" {
  command = plan

  variables {
    listener_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  expect_failures = [var.listener_arn]
}

run "refuses_a_name_of_service_connect_with_a_port" {
  command = plan

  variables {
    service_connect = [{ discovery_name = "web:8080" }]
  }

  expect_failures = [var.service_connect]
}

run "refuses_a_name_of_service_connect_twice" {
  command = plan

  variables {
    service_connect = [{ discovery_name = "web" }, { discovery_name = "web" }]
  }

  expect_failures = [var.service_connect]
}

run "refuses_a_token_given_for_its_parameter" {
  command = plan

  variables {
    heartbeat = { token_parameter_arn = "hunter2" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_a_heartbeat_path_one_character_too_long" {
  command = plan

  variables {
    heartbeat = { path = "/${join("", [for _ in range(128) : "a"])}" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_a_heartbeat_path_with_a_wildcard" {
  command = plan

  variables {
    heartbeat = { path = "/health*" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_a_heartbeat_path_that_begins_wrongly" {
  command = plan

  variables {
    heartbeat = { path = "health" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_a_heartbeat_on_a_route_that_is_not_there" {
  command = plan

  variables {
    heartbeat = { route = "www" }
  }

  expect_failures = [var.heartbeat]
}

# From here on with routes, and without what the plain inputs of this folder give.

run "refuses_the_inputs_of_one_route_beside_routes" {
  command = plan

  variables {
    conditions = { source_ip = ["203.0.113.0/24"] }
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.service_rule_arn, var.rule_priority, var.conditions]
}

run "refuses_a_parked_number_beside_routes" {
  command = plan

  variables {
    service_rule_arn = null
    rule_priority    = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_a_websocket_rule_beside_routes" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    websocket_rule       = true
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.websocket_rule]
}

run "refuses_other_paths_and_a_rule_to_make_beside_routes" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    conditions           = { path_pattern = ["/app/*"] }
    create_service_rule  = true
    listener_arn         = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.conditions, var.create_service_rule]
}

run "refuses_routes_on_the_alarm_path" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    wake_path            = "alarm"
    load_balancer_arn    = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_ninth_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      r0 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      r1 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 20
        parked_rule_priority = 40001
      }
      r2 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 30
        parked_rule_priority = 40002
      }
      r3 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 40
        parked_rule_priority = 40003
      }
      r4 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 50
        parked_rule_priority = 40004
      }
      r5 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 60
        parked_rule_priority = 40005
      }
      r6 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 70
        parked_rule_priority = 40006
      }
      r7 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 80
        parked_rule_priority = 40007
      }
      r8 = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 90
        parked_rule_priority = 40008
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_with_a_capital_letter" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      Www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_whose_alarms_would_have_the_names_of_service_connects" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      connect-web = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_with_neither_rule_nor_listener" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_with_rule_and_listener" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        listener_arn         = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_listener_given_for_the_rule_of_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_load_balancer_given_for_the_listener_of_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        rule_priority        = 10
        parked_rule_priority = 40000
        create_service_rule  = true
        listener_arn         = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_the_number_0_for_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 0
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_number_that_leaves_no_place_for_the_websocket_rule_of_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 49996
        parked_rule_priority = 50000
        websocket_rule       = true
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_parked_before_its_service_rule" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 13
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_parked_by_a_number_above_50000" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    checks_enabled       = true
    routes = {
      www = {
        service_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority    = 20001
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_to_park_a_route_where_it_may_not_look" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority    = 10
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_six_target_groups_of_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        target_group_arns    = [for n in range(6) : "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-${n}/0123456789abcdef"]
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_target_groups_of_the_route_this" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      this = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_url_given_for_a_host_of_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { host_header = ["https://example.com"] }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_no_path_of_a_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { path_pattern = [] }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_header_of_a_route_without_a_name" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { http_header = [{ http_header_name = "", values = ["a"] }] }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_method_of_a_route_in_small_letters" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { http_request_method = ["get"] }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_pair_of_a_route_without_a_value" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { query_string = [{ value = "" }] }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_source_of_a_route_that_is_no_range" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        conditions           = { source_ip = ["203.0.113.7"] }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_a_route_without_a_target_group" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    target_group_arns    = []
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [var.target_group_arns]
}

run "refuses_several_routes_without_one_for_the_heartbeat" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    routes = {
      apex = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 20
        parked_rule_priority = 40001
      }
    }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_two_routes_that_need_one_number" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    heartbeat            = { enabled = false }
    routes = {
      apex = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 12
        parked_rule_priority = 40001
      }
    }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_routes_on_two_load_balancers" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    heartbeat            = { enabled = false }
    routes = {
      apex = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/9999999999999999/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_a_rule_for_every_request_before_another_route" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    heartbeat            = { enabled = false }
    routes = {
      apex = {
        rule_priority        = 10
        parked_rule_priority = 40000
        create_service_rule  = true
        listener_arn         = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
      }
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 20
        parked_rule_priority = 40001
        conditions           = { host_header = ["www.example.com"] }
      }
    }
  }

  expect_failures = [aws_lb_listener_rule.service]
}
