# What is refused in services and databases, and beside them, at plan time.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled    = false # the mocked service rule has no conditions, whatever is given
  service_name      = null
  target_group_arns = []
  service_rule_arn  = null
  rule_priority     = null
  services          = { mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] } }
}

run "refuses_the_inputs_of_one_service_beside_services" {
  command = plan

  variables {
    service_name      = "web"
    target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
    service_rule_arn  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
    rule_priority     = 10
    conditions        = { host_header = ["example.com"] }
    service_connect   = [{ discovery_name = "web" }]
  }

  expect_failures = [var.service_name, var.target_group_arns, var.service_rule_arn, var.rule_priority, var.conditions, var.service_connect]
}

run "refuses_a_parked_number_beside_services" {
  command = plan

  variables {
    parked_rule_priority = 40000
  }

  expect_failures = [var.parked_rule_priority]
}

run "refuses_rules_that_the_module_is_to_make_beside_services" {
  command = plan

  variables {
    create_service_rule = true
    listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    websocket_rule      = true
  }

  expect_failures = [var.create_service_rule, var.websocket_rule]
}

run "refuses_routes_beside_services" {
  command = plan

  variables {
    routes = {
      www = {
        service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
        rule_priority        = 10
        parked_rule_priority = 40000
        target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_neither_a_service_name_nor_services" {
  command = plan

  variables {
    target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
    service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
    rule_priority        = 10
    parked_rule_priority = 40000
    services             = {}
  }

  expect_failures = [var.service_name]
}

run "refuses_services_on_the_alarm_path" {
  command = plan

  variables {
    wake_path         = "alarm"
    load_balancer_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
  }

  expect_failures = [var.services]
}

run "refuses_eleven_services" {
  command = plan

  variables {
    services = merge(
      { for number in range(10) : "worker-${number}" => {} },
      { mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] } },
    )
  }

  expect_failures = [var.services]
}

run "ten_services_are_fine" {
  variables {
    services = merge(
      { for number in range(9) : "worker-${number}" => {} },
      { mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] } },
    )
  }

  assert {
    condition     = length(aws_lambda_invocation.member) == 10
    error_message = "as many as one call of ECS describes"
  }
}

run "refuses_a_key_of_a_service_that_an_alarm_of_a_queue_begins_with" {
  command = plan

  variables {
    services = { queue-reader = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] } }
  }

  expect_failures = [var.services]
}

run "refuses_a_key_for_a_service_and_a_database" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["ledger"] }
      ledger = {}
    }
    databases = { ledger = { db_instance_identifier = "ledger" } }
  }

  expect_failures = [var.services]
}

run "refuses_the_arn_of_a_service_for_its_name" {
  command = plan

  variables {
    services = {
      mailer = { service_name = "arn:aws:ecs:eu-west-1:123456789012:service/staging/mailer", queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_service_under_two_keys" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] }
      bills  = { service_name = "mailer", queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:bills"] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_an_environment_that_nothing_would_wake" {
  command = plan

  variables {
    services = { worker = {}, auth = { shared = true } }
  }

  expect_failures = [var.services]
}

run "refuses_a_queue_of_a_shared_service" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] }
      auth   = { shared = true, queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:logins"] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_route_of_a_service_that_is_not_required" {
  command = plan

  variables {
    services = {
      web = {
        routes = {
          this = {
            service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
            rule_priority        = 10
            parked_rule_priority = 40000
            target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
          }
        }
        required = false
      }
    }
  }

  expect_failures = [var.services]
}

run "refuses_to_start_after_what_is_not_there" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["staging-main"] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_service_that_starts_after_itself" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["mailer"] }
    }
  }

  expect_failures = [aws_lambda_function.this]
}

run "refuses_a_circle_of_ten_services" {
  command = plan

  variables {
    services = {
      for number in range(10) : "worker-${number}" => {
        queue_arns  = ["arn:aws:sqs:eu-west-1:123456789012:mail"]
        start_after = ["worker-${(number + 1) % 10}"]
      }
    }
  }

  expect_failures = [aws_lambda_function.this]
}

run "a_row_of_ten_services_is_no_circle" {
  variables {
    services = {
      for number in range(10) : "worker-${number}" => {
        queue_arns  = ["arn:aws:sqs:eu-west-1:123456789012:mail"]
        start_after = [for other in range(10) : "worker-${other}" if other < number]
      }
    }
  }

  assert {
    condition     = local.start_cycle == []
    error_message = "each waits for all before it"
  }
}

run "refuses_to_wait_for_a_service_for_which_nobody_waits" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["auth"] }
      auth   = { required = false }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_database_that_no_service_waits_for" {
  command = plan

  variables {
    databases = { main = { db_instance_identifier = "main" } }
  }

  expect_failures = [var.services]
}

run "refuses_databases_beside_one_service" {
  command = plan

  variables {
    service_name         = "web"
    target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
    service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
    rule_priority        = 10
    parked_rule_priority = 40000
    services             = {}
    databases            = { main = { db_instance_identifier = "main" } }
  }

  expect_failures = [var.services]
}

run "refuses_the_url_of_a_queue" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["https://sqs.eu-west-1.amazonaws.com/123456789012/mail"] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_queue_of_another_region" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail", "arn:aws:sqs:us-east-1:123456789012:mail"] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_capitals_in_the_key_of_a_service_s_route" {
  command = plan

  variables {
    services = {
      web = {
        routes = {
          WWW = {
            service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
            rule_priority        = 10
            parked_rule_priority = 40000
            target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
          }
        }
      }
    }
  }

  expect_failures = [var.services]
}

run "refuses_keys_that_make_one_name_of_two_alarms" {
  command = plan

  variables {
    services = {
      web = {
        queue_arns      = ["arn:aws:sqs:eu-west-1:123456789012:mail"]
        service_connect = [{ discovery_name = "a-b" }]
      }
      web-a = { service_connect = [{ discovery_name = "b" }] }
    }
  }

  expect_failures = [var.services]
}

run "refuses_a_service_s_route_without_a_target_group" {
  command = plan

  variables {
    services = {
      web = {
        routes = {
          this = {
            service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
            rule_priority        = 10
            parked_rule_priority = 40000
          }
        }
        queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"]
      }
    }
  }

  expect_failures = [var.services]
}

run "refuses_in_a_service_s_route_what_it_refuses_in_a_route" {
  command = plan

  variables {
    services = {
      web = {
        routes = {
          this = {
            service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
            rule_priority        = 10
            parked_rule_priority = 40000
            conditions           = { host_header = ["https://example.com"] }
            target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
          }
        }
      }
    }
  }

  expect_failures = [var.routes]
}

run "refuses_in_a_service_s_service_connect_what_it_refuses_in_service_connect" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], service_connect = [{ discovery_name = "mailer:8080" }] }
    }
  }

  expect_failures = [var.service_connect]
}

run "refuses_a_heartbeat_without_a_route_to_take_it" {
  command = plan

  variables {
    heartbeat = { route = "mailer/this" }
  }

  expect_failures = [var.heartbeat]
}

run "refuses_a_pattern_of_events_that_eventbridge_does_not_take" {
  command = plan

  variables {
    services = merge(
      { for number in range(9) : "worker-${number}" => { service_name = format("%0200d", number) } },
      { mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] } },
    )
  }

  expect_failures = [aws_cloudwatch_event_rule.this]
}

run "refuses_eleven_databases" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = [for number in range(11) : "main-${number}"] }
    }
    databases = { for number in range(11) : "main-${number}" => { db_instance_identifier = "main-${number}" } }
  }

  expect_failures = [var.databases]
}

run "refuses_capitals_in_the_key_of_a_database" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["Main"] }
    }
    databases = { Main = { db_instance_identifier = "main" } }
  }

  expect_failures = [var.databases]
}

run "refuses_an_instance_and_a_cluster_in_one" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["main"] }
    }
    databases = { main = { db_instance_identifier = "main", db_cluster_identifier = "main" } }
  }

  expect_failures = [var.databases]
}

run "refuses_the_arn_of_a_database_for_its_identifier" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["main"] }
    }
    databases = { main = { db_instance_identifier = "arn:aws:rds:eu-west-1:123456789012:db:main" } }
  }

  expect_failures = [var.databases]
}

run "refuses_a_database_under_two_keys" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["main", "ledger"] }
    }
    databases = {
      main   = { db_instance_identifier = "main" }
      ledger = { db_instance_identifier = "main" }
    }
  }

  expect_failures = [var.databases]
}

run "refuses_to_stop_a_database_at_once" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["main"] }
    }
    databases = { main = { db_instance_identifier = "main", stop_after_minutes = 0 } }
  }

  expect_failures = [var.databases]
}

run "refuses_half_a_minute_for_a_database_to_start" {
  command = plan

  variables {
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"], start_after = ["main"] }
    }
    databases = { main = { db_instance_identifier = "main", deadline_minutes = 0.5 } }
  }

  expect_failures = [var.databases]
}

run "refuses_a_public_url_of_an_environment_without_routes" {
  command = plan

  variables {
    public_url = "https://staging.example.com"
  }

  expect_failures = [var.public_url]
}
