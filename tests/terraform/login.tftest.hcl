# Routes behind a login: where the action stands, what it has there, and what is refused.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled       = false # the mocked service rule has no actions, whatever is given
  parked_rule_priority = 40000

  authenticate_oidc = {
    authorization_endpoint = "https://id.example.com/authorize"
    client_id              = "staging"
    issuer                 = "https://id.example.com"
    token_endpoint         = "https://id.example.com/token"
    user_info_endpoint     = "https://id.example.com/userinfo"
  }
  authenticate_oidc_client_secrets = { this = "s3cret" }
}

run "the_wake_rule_asks_for_the_login_before_it_forwards" {
  assert {
    condition     = aws_lb_listener_rule.wake["this"].action[*].type == tolist(["authenticate-oidc", "forward"]) && aws_lb_listener_rule.wake["this"].action[1].target_group_arn == aws_lb_target_group.warmkeeper["wake"].arn
    error_message = "in this order"
  }

  assert {
    condition = jsonencode(aws_lb_listener_rule.wake["this"].action[0].authenticate_oidc[0]) == jsonencode({
      authorization_endpoint              = "https://id.example.com/authorize"
      client_id                           = "staging"
      client_secret                       = "s3cret"
      issuer                              = "https://id.example.com"
      token_endpoint                      = "https://id.example.com/token"
      user_info_endpoint                  = "https://id.example.com/userinfo"
      scope                               = "openid"
      session_cookie_name                 = "AWSELBAuthSessionCookie"
      session_timeout                     = 604800
      on_unauthenticated_request          = "authenticate"
      authentication_request_extra_params = null
    })
    error_message = "with the defaults of AWS"
  }

  assert {
    condition     = { for key, rule in aws_lb_listener_rule.fixed : key => rule.priority } == { "this/control" = 10, "this/heartbeat" = 11, "this/login" = 12 }
    error_message = "one rule more, and the others keep their numbers"
  }

  assert {
    condition     = startswith(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "13/") && length(split(" ", jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this)) == 3 + 3
    error_message = "the wake rule goes up behind it, and the function knows it"
  }
}

run "status_and_wake_are_behind_the_login_and_health_and_heartbeat_are_not" {
  assert {
    condition     = aws_lb_listener_rule.fixed["this/login"].action[*].type == tolist(["authenticate-oidc", "forward"]) && aws_lb_listener_rule.fixed["this/login"].action[0].authenticate_oidc[0].on_unauthenticated_request == "deny"
    error_message = "the page's requests get 401"
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.fixed["this/login"].condition : [for path in condition.path_pattern : tolist(path.values)]]) == ["/.warmkeeper/*"]
    error_message = "whatever is not named is behind it"
  }

  assert {
    condition     = toset(flatten([for condition in aws_lb_listener_rule.fixed["this/control"].condition : [for path in condition.path_pattern : tolist(path.values)]])) == toset(["/.warmkeeper/health", "/.warmkeeper/heartbeat"])
    error_message = "what has no session is named"
  }

  assert {
    condition     = alltrue([for role in ["control", "heartbeat"] : aws_lb_listener_rule.fixed["this/${role}"].action[*].type == tolist(["forward"])])
    error_message = "and asked for nothing"
  }
}

run "a_heartbeat_of_its_own_below_the_control_path_needs_no_login" {
  variables {
    heartbeat = { path = "/.warmkeeper/beat" }
  }

  assert {
    condition     = toset(flatten([for condition in aws_lb_listener_rule.fixed["this/control"].condition : [for path in condition.path_pattern : tolist(path.values)]])) == toset(["/.warmkeeper/health", "/.warmkeeper/beat"])
    error_message = "by its own path"
  }
}

run "without_heartbeats_health_alone_needs_no_login" {
  variables {
    heartbeat = { enabled = false }
  }

  assert {
    condition     = flatten([for condition in aws_lb_listener_rule.fixed["this/control"].condition : [for path in condition.path_pattern : tolist(path.values)]]) == ["/.warmkeeper/health"]
    error_message = "nothing else is named"
  }
}

run "an_upgrade_needs_a_session" {
  variables {
    websocket_rule = true
  }

  assert {
    condition     = aws_lb_listener_rule.fixed["this/websocket"].action[*].type == tolist(["authenticate-oidc", "forward"]) && aws_lb_listener_rule.fixed["this/websocket"].action[0].authenticate_oidc[0].on_unauthenticated_request == "deny"
    error_message = "a handshake cannot be redirected"
  }

  assert {
    condition     = aws_lb_listener_rule.fixed["this/websocket"].priority == 13 && startswith(jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes.this, "14/")
    error_message = "control, heartbeat, login, WebSocket, wake"
  }
}

run "whoever_may_enter_without_a_login_may_see_the_status_and_wake" {
  variables {
    authenticate_oidc = {
      authorization_endpoint     = "https://id.example.com/authorize"
      client_id                  = "staging"
      issuer                     = "https://id.example.com"
      token_endpoint             = "https://id.example.com/token"
      user_info_endpoint         = "https://id.example.com/userinfo"
      on_unauthenticated_request = "allow"
    }
  }

  assert {
    condition     = alltrue([for rule in [aws_lb_listener_rule.fixed["this/login"], aws_lb_listener_rule.wake["this"]] : rule.action[0].authenticate_oidc[0].on_unauthenticated_request == "allow"])
    error_message = "or the page would load itself again and again"
  }
}

run "each_route_has_a_login_of_its_own_or_none" {
  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    authenticate_oidc    = null
    heartbeat            = { route = "open" }
    routes = {
      open = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
      staff = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/4444444444444444"
        rule_priority        = 20
        parked_rule_priority = 40001
        authenticate_cognito = {
          user_pool_arn                       = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff"
          user_pool_client_id                 = "staff"
          user_pool_domain                    = "staff"
          scope                               = "openid email"
          session_cookie_name                 = "Staff"
          session_timeout                     = 3600
          on_unauthenticated_request          = "deny"
          authentication_request_extra_params = { lang = "en" }
        }
      }
      guests = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/5555555555555555"
        rule_priority        = 30
        parked_rule_priority = 40002
        authenticate_oidc = {
          authorization_endpoint = "https://id.example.com/authorize"
          client_id              = "guests"
          issuer                 = "https://id.example.com"
          token_endpoint         = "https://id.example.com/token"
          user_info_endpoint     = "https://id.example.com/userinfo"
        }
      }
    }
    authenticate_oidc_client_secrets = { guests = "s3cret" }
  }

  assert {
    condition = { for key, rule in aws_lb_listener_rule.wake : key => rule.action[*].type } == {
      open   = tolist(["forward"])
      staff  = tolist(["authenticate-cognito", "forward"])
      guests = tolist(["authenticate-oidc", "forward"])
    }
    error_message = "each its own"
  }

  assert {
    condition = jsonencode(aws_lb_listener_rule.wake["staff"].action[0].authenticate_cognito[0]) == jsonencode({
      user_pool_arn                       = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff"
      user_pool_client_id                 = "staff"
      user_pool_domain                    = "staff"
      scope                               = "openid email"
      session_cookie_name                 = "Staff"
      session_timeout                     = 3600
      on_unauthenticated_request          = "deny"
      authentication_request_extra_params = tomap({ lang = "en" })
    })
    error_message = "all that it takes"
  }

  assert {
    condition     = { for key, rule in aws_lb_listener_rule.fixed : key => rule.priority } == { "open/control" = 10, "open/heartbeat" = 11, "staff/control" = 20, "staff/login" = 22, "guests/control" = 30, "guests/login" = 32 }
    error_message = "without a login there is no rule more"
  }

  assert {
    condition     = { for key, route in jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES).routes : key => split("/", route)[0] } == { open = "12", staff = "23", guests = "33" }
    error_message = "nor a number"
  }
}

run "a_service_of_an_environment_has_its_login" {
  variables {
    service_name                     = null
    service_rule_arn                 = null
    rule_priority                    = null
    parked_rule_priority             = null
    target_group_arns                = []
    authenticate_oidc                = null
    authenticate_oidc_client_secrets = { "web/this" = "s3cret" }
    services = {
      web = {
        routes = {
          this = {
            service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
            rule_priority        = 10
            parked_rule_priority = 40000
            target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
            authenticate_oidc = {
              authorization_endpoint = "https://id.example.com/authorize"
              client_id              = "staging"
              issuer                 = "https://id.example.com"
              token_endpoint         = "https://id.example.com/token"
              user_info_endpoint     = "https://id.example.com/userinfo"
            }
          }
        }
      }
    }
  }

  assert {
    condition     = aws_lb_listener_rule.wake["web/this"].action[0].authenticate_oidc[0].client_secret == "s3cret"
    error_message = "with the secret of its route"
  }
}

run "the_service_rule_that_the_module_makes_asks_for_the_login_too" {
  variables {
    checks_enabled       = true
    parked_rule_priority = null
    service_rule_arn     = null
    create_service_rule  = true
    listener_arn         = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }

  # the default action has the login, too
  override_data {
    target = data.aws_lb_listener.service
    values = {
      protocol       = "HTTPS"
      default_action = [{ type = "authenticate-oidc", target_group_arn = "", forward = [] }, { type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }]
    }
  }

  assert {
    condition     = aws_lb_listener_rule.service["this"].action[*].type == tolist(["authenticate-oidc", "forward"]) && aws_lb_listener_rule.service["this"].action[0].authenticate_oidc == aws_lb_listener_rule.wake["this"].action[0].authenticate_oidc
    error_message = "with the same settings"
  }

  assert {
    condition     = aws_lb_listener_rule.service["this"].priority == 14
    error_message = "behind the wake rule that is up"
  }
}

run "the_last_numbers_that_a_login_leaves" {
  variables {
    rule_priority        = 49995
    parked_rule_priority = 50000
  }

  assert {
    condition     = aws_lb_listener_rule.fixed["this/login"].priority == 49997
    error_message = "48 and 49 are those of the wake rule and of the service rule"
  }
}

run "refuses_a_number_that_leaves_no_place_for_the_service_rule_behind_a_login" {
  command = plan

  variables {
    rule_priority = 49996
  }

  expect_failures = [var.rule_priority]
}

run "refuses_a_parked_number_that_leaves_no_place_for_the_service_rule_behind_a_login" {
  command = plan

  variables {
    parked_rule_priority = 14 # 10 to 13 are taken
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_routes_whose_numbers_leave_no_place_behind_a_login" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    authenticate_oidc    = null
    heartbeat            = { enabled = false }
    routes = {
      high = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 49996
        parked_rule_priority = 50000
        authenticate_oidc    = { authorization_endpoint = "https://id.example.com/authorize", client_id = "staging", issuer = "https://id.example.com", token_endpoint = "https://id.example.com/token", user_info_endpoint = "https://id.example.com/userinfo" }
      }
    }
    authenticate_oidc_client_secrets = { high = "s3cret" }
  }

  expect_failures = [var.routes]
}

run "refuses_a_login_by_cognito_beside_routes" {
  command = plan

  variables {
    service_rule_arn     = null
    rule_priority        = null
    parked_rule_priority = null
    authenticate_oidc    = null
    authenticate_cognito = { user_pool_arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff", user_pool_client_id = "staff", user_pool_domain = "staff" }
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
      }
    }
    authenticate_oidc_client_secrets = {}
  }

  expect_failures = [var.authenticate_cognito]
}

run "refuses_a_login_on_the_alarm_path" {
  command = plan

  variables {
    wake_path                        = "alarm"
    service_rule_arn                 = null
    rule_priority                    = null
    load_balancer_arn                = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
    authenticate_oidc_client_secrets = { this = "s3cret" }
  }

  expect_failures = [var.authenticate_oidc]
}

run "refuses_a_login_without_its_client_secret" {
  command = plan

  variables {
    authenticate_oidc_client_secrets = {}
  }

  expect_failures = [var.authenticate_oidc_client_secrets]
}

run "refuses_a_client_secret_of_no_login" {
  command = plan

  variables {
    authenticate_oidc_client_secrets = { this = "s3cret", www = "s3cret" }
  }

  expect_failures = [var.authenticate_oidc_client_secrets]
}

run "refuses_two_logins_at_one_rule" {
  command = plan

  variables {
    authenticate_cognito = { user_pool_arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff", user_pool_client_id = "staff", user_pool_domain = "staff" }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_a_login_on_a_listener_without_tls" {
  command = plan

  variables {
    checks_enabled = true
  }

  override_data {
    target = data.aws_lb_listener.service
    values = { protocol = "HTTP", default_action = [] }
  }

  expect_failures = [aws_lb_listener_rule.wake, check.login]
}

run "refuses_a_login_with_several_target_groups" {
  command = plan

  variables {
    target_group_arns = [for name in ["blue", "green"] : "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/${name}/0123456789abcdef"]
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_an_answer_to_strangers_that_no_login_has" {
  command = plan

  variables {
    authenticate_oidc = {
      authorization_endpoint     = "https://id.example.com/authorize"
      client_id                  = "staging"
      issuer                     = "https://id.example.com"
      token_endpoint             = "https://id.example.com/token"
      user_info_endpoint         = "https://id.example.com/userinfo"
      on_unauthenticated_request = "redirect"
    }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_a_session_of_more_than_seven_days" {
  command = plan

  variables {
    authenticate_oidc = {
      authorization_endpoint = "https://id.example.com/authorize"
      client_id              = "staging"
      issuer                 = "https://id.example.com"
      token_endpoint         = "https://id.example.com/token"
      user_info_endpoint     = "https://id.example.com/userinfo"
      session_timeout        = 604801
    }
  }

  expect_failures = [aws_lb_listener_rule.wake]
}

run "refuses_a_heartbeat_on_the_path_of_the_wake" {
  command = plan

  variables {
    heartbeat = { path = "/.warmkeeper/wake" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_a_heartbeat_on_the_path_of_the_page" {
  command = plan

  variables {
    heartbeat = { path = "/.warmkeeper/" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_more_hosts_than_the_rule_of_health_and_heartbeat_takes" {
  command = plan

  variables {
    conditions = { host_header = ["a.example.com", "b.example.com", "c.example.com", "d.example.com"] }
  }

  expect_failures = [aws_lb_listener_rule.fixed]
}
