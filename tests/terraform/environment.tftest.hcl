# An environment of several services, with queues and databases, that sleeps and wakes as one.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled    = false # the mocked service rule has no conditions, whatever is given
  service_name      = null
  target_group_arns = []
  service_rule_arn  = null
  rule_priority     = null
  heartbeat         = { route = "web/apex" }

  services = {
    web = {
      routes = {
        apex = {
          service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
          rule_priority        = 10
          parked_rule_priority = 40000
          conditions           = { host_header = ["example.com"] }
          target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef", "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/0123456789abcdef"]
        }
        www = {
          service_rule_arn     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/4444444444444444"
          rule_priority        = 20
          parked_rule_priority = 40001
          target_group_arns    = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef"]
        }
      }
      start_after = ["api"]
    }
    api = {
      service_name = "backend"
      routes = {
        this = {
          create_service_rule = true
          listener_arn        = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/6666666666666666"
          rule_priority       = 30
          target_group_arns   = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/0123456789abcdef"]
        }
      }
      start_after     = ["main", "auth"]
      service_connect = [{ discovery_name = "backend" }]
    }
    mailer = {
      queue_arns  = ["arn:aws:sqs:eu-west-1:123456789012:mail", "arn:aws:sqs:eu-west-1:123456789012:bills.fifo"]
      start_after = ["ledger"]
      required    = false
    }
    auth = {
      shared      = true
      start_after = ["common", "books"]
    }
  }
  databases = {
    main   = { db_instance_identifier = "staging-main" }
    ledger = { db_cluster_identifier = "staging-ledger", stop_after_minutes = 240, deadline_minutes = 45 }
    common = { db_instance_identifier = "common", shared = true }
    books  = { db_cluster_identifier = "books", shared = true }
  }
}

run "the_function_is_told_of_members_routes_and_databases" {
  assert {
    condition = jsondecode(aws_lambda_function.this.environment[0].variables.MEMBERS) == {
      web    = { start_after = ["api"] }
      api    = { service = "backend", start_after = ["main", "auth"] }
      mailer = { start_after = ["ledger"], queues = ["mail", "bills.fifo"], required = false }
      auth   = { start_after = ["common", "books"], shared = true }
    }
    error_message = "fields with their default are left out, and a service whose name is its key has none"
  }

  assert {
    condition = jsondecode(aws_lambda_function.this.environment[0].variables.DATABASES) == {
      main   = { instance = "staging-main" }
      ledger = { cluster = "staging-ledger", stop_after_minutes = 240, deadline_minutes = 45 }
      common = { instance = "common", shared = true }
      books  = { cluster = "books", shared = true }
    }
    error_message = "an instance or a cluster, and how long"
  }

  assert {
    condition = jsondecode(aws_lambda_function.this.environment[0].variables.ROUTES) == {
      rules = "app/edge/1111111111111111/"
      routes = {
        "web/apex" = "12/40000 2222222222222222/3333333333333333 2222222222222222/5555555555555555 2222222222222222/5555555555555555 2222222222222222/5555555555555555"
        "web/www"  = "22/40001 2222222222222222/4444444444444444 2222222222222222/5555555555555555 2222222222222222/5555555555555555"
        "api/this" = "32/30030/created 2222222222222222/5555555555555555 2222222222222222/5555555555555555 2222222222222222/5555555555555555"
      }
    }
    error_message = "numbers and rules of each route, without what the rules of two listeners have in common"
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.TARGET_GROUP_ARNS == "api/0123456789abcdef,blue/0123456789abcdef,green/0123456789abcdef" && aws_lambda_function.this.environment[0].variables.SERVICE_CONNECT_NAMES == "backend"
    error_message = "the groups of all routes, each once, and the names of all services"
  }
}

run "rules_and_outputs_are_by_member_and_route" {
  assert {
    condition = { for key, rule in aws_lb_listener_rule.fixed : key => rule.priority } == {
      "web/apex/control"   = 10
      "web/apex/heartbeat" = 11
      "web/www/control"    = 20
      "api/this/control"   = 30
    }
    error_message = "as those of routes"
  }

  assert {
    condition     = { for key, rule in aws_lb_listener_rule.wake : key => rule.priority } == { "web/apex" = 40000, "web/www" = 40001, "api/this" = 30030 } && keys(aws_lb_listener_rule.service) == ["api/this"]
    error_message = "a wake rule for each, parked"
  }

  assert {
    condition     = keys(output.wake_rule_arns) == ["api/this", "web/apex", "web/www"] && keys(output.service_rule_arns) == keys(output.wake_rule_arns)
    error_message = "the keys of outputs are those of the rules"
  }

  assert {
    condition     = keys(output.idle_alarm_arns) == keys(aws_cloudwatch_metric_alarm.idle)
    error_message = "and of the alarms"
  }

  assert {
    condition     = local.routes["web/www"].field == "services[\"web\"].routes[\"www\"]." && local.target_group_fields["web/apex/2"] == "services[\"web\"].routes[\"apex\"].target_group_arns"
    error_message = "what is refused is named as the caller wrote it"
  }
}

run "idle_alarms_are_named_by_their_keys" {
  assert {
    condition = { for key, alarm in aws_cloudwatch_metric_alarm.idle : key => [alarm.alarm_name, alarm.namespace, alarm.metric_name, alarm.dimensions] } == {
      "web/apex/1"          = ["web-idle-web-apex-1", "AWS/ApplicationELB", "RequestCount", tomap({ LoadBalancer = "app/edge/1111111111111111", TargetGroup = "targetgroup/blue/0123456789abcdef" })]
      "web/apex/2"          = ["web-idle-web-apex-2", "AWS/ApplicationELB", "RequestCount", tomap({ LoadBalancer = "app/edge/1111111111111111", TargetGroup = "targetgroup/green/0123456789abcdef" })]
      "web/www/1"           = ["web-idle-web-www-1", "AWS/ApplicationELB", "RequestCount", tomap({ LoadBalancer = "app/edge/1111111111111111", TargetGroup = "targetgroup/blue/0123456789abcdef" })]
      "api/this/1"          = ["web-idle-api-this-1", "AWS/ApplicationELB", "RequestCount", tomap({ LoadBalancer = "app/edge/1111111111111111", TargetGroup = "targetgroup/api/0123456789abcdef" })]
      "connect/api/backend" = ["web-idle-connect-api-backend", "AWS/ECS", "RequestCount", tomap({ ClusterName = "staging", ServiceName = "backend", DiscoveryName = "backend" })]
      "queue/mailer/1"      = ["web-idle-queue-mailer-1", "AWS/SQS", "NumberOfMessagesReceived", tomap({ QueueName = "mail" })]
      "queue/mailer/2"      = ["web-idle-queue-mailer-2", "AWS/SQS", "NumberOfMessagesReceived", tomap({ QueueName = "bills.fifo" })]
    }
    error_message = "none has a plain name, which would change hands with the services"
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].statistic == "Sum"
      && aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].comparison_operator == "LessThanThreshold"
      && aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].threshold == 1
      && aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].treat_missing_data == "breaching"
      && aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].evaluation_periods == 5
      && aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].alarm_actions == toset([aws_lambda_function.this.arn])
      && startswith(aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].alarm_description, "5 minutes with no message received from mail by staging/backend, auth, mailer, web. ")
    )
    error_message = "quiet is five of five minutes without a message, and a silent minute is one of them"
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.IDLE_ALARM_ARNS == "web-idle-{route}-1,web-idle-connect-api-backend,web-idle-queue-mailer-1,web-idle-queue-mailer-2,web-idle-web-apex-2" && length(local.idle_alarm_arns) == 7
    error_message = "the function reads all of them: one of each route's first target group, and the others"
  }

  assert {
    condition     = aws_lambda_permission.this["idle-alarm-queue-mailer-1"].source_arn == aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].arn
    error_message = "and each may call it"
  }
}

run "idle_request_threshold_is_for_requests" {
  variables {
    idle_request_threshold = 10
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.idle["web/www/1"].threshold == 10 && aws_cloudwatch_metric_alarm.idle["connect/api/backend"].threshold == 10 && aws_cloudwatch_metric_alarm.idle["queue/mailer/1"].threshold == 1
    error_message = "any message is activity"
  }
}

run "the_role_stops_what_is_not_shared" {
  assert {
    condition = {
      for statement in data.aws_iam_policy_document.this.statement : statement.sid => [statement.actions, statement.resources]
      if contains(["SeeAndScaleService", "SeeDeployments", "CountMessages", "SeeAndStartInstances", "StopInstances", "SeeAndStartClusters", "StopClusters"], statement.sid)
      } == {
      SeeAndScaleService   = [toset(["ecs:DescribeServices", "ecs:UpdateService"]), toset([for name in ["web", "backend", "mailer", "auth"] : "arn:aws:ecs:eu-west-1:123456789012:service/staging/${name}"])]
      SeeDeployments       = [toset(["ecs:ListServiceDeployments"]), toset([for name in ["web", "backend", "mailer"] : "arn:aws:ecs:eu-west-1:123456789012:service/staging/${name}"])]
      CountMessages        = [toset(["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]), toset(["arn:aws:sqs:eu-west-1:123456789012:mail", "arn:aws:sqs:eu-west-1:123456789012:bills.fifo"])]
      SeeAndStartInstances = [toset(["rds:DescribeDBInstances", "rds:StartDBInstance"]), toset([for name in ["staging-main", "common"] : "arn:aws:rds:eu-west-1:123456789012:db:${name}"])]
      StopInstances        = [toset(["rds:StopDBInstance"]), toset(["arn:aws:rds:eu-west-1:123456789012:db:staging-main"])]
      SeeAndStartClusters  = [toset(["rds:DescribeDBClusters", "rds:StartDBCluster"]), toset([for name in ["staging-ledger", "books"] : "arn:aws:rds:eu-west-1:123456789012:cluster:${name}"])]
      StopClusters         = [toset(["rds:StopDBCluster"]), toset(["arn:aws:rds:eu-west-1:123456789012:cluster:staging-ledger"])]
    }
    error_message = "exactly these services, queues and databases"
  }
}

run "events_are_those_of_all_services_and_databases" {
  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["ecs-task"].event_pattern).detail.group == ["service:backend", "service:auth", "service:mailer", "service:web"]
    error_message = "task events name their service as a group"
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["ecs-service"].event_pattern).resources == values(local.service_arns)
    error_message = "the other events name its ARN"
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.this["database"].event_pattern) == {
      source        = ["aws.rds"]
      "detail-type" = ["RDS DB Instance Event", "RDS DB Cluster Event"]
      detail = {
        SourceIdentifier = ["books", "common", "staging-ledger", "staging-main"]
        EventID          = ["RDS-EVENT-0087", "RDS-EVENT-0088", "RDS-EVENT-0150", "RDS-EVENT-0151", "RDS-EVENT-0153", "RDS-EVENT-0154"]
      }
    }
    error_message = "stopped, started, and started after seven days"
  }

  assert {
    condition     = aws_lambda_permission.this["database"].principal == "events.amazonaws.com" && aws_cloudwatch_event_target.this["database"].retry_policy[0].maximum_retry_attempts == 1
    error_message = "the rule may call the function"
  }
}

run "what_leaves_is_given_back_by_a_call_of_its_own" {
  assert {
    condition = (
      keys(aws_lambda_invocation.route) == ["api/this", "web/apex", "web/www"]
      && keys(aws_lambda_invocation.member) == ["api", "auth", "mailer", "web"]
      && keys(aws_lambda_invocation.database) == ["books", "common", "ledger", "main"]
    )
    error_message = "one for each key that the caller gave"
  }

  assert {
    condition = alltrue([
      for invocation in concat(values(aws_lambda_invocation.route), values(aws_lambda_invocation.member), values(aws_lambda_invocation.database)) :
      invocation.lifecycle_scope == "CRUD" && jsondecode(invocation.input).command == "terraform"
    ])
    error_message = "each calls the function when its key leaves"
  }
}

run "services_and_databases_are_named_where_people_look" {
  variables {
    dashboard_enabled = true
  }

  assert {
    condition     = aws_lambda_function.this.description == "Puts staging/backend, auth, mailer, web to sleep and wakes it" && aws_iam_role.this.description == "Rights of the warmkeeper of staging/backend, auth, mailer, web"
    error_message = "the cluster and the services"
  }

  assert {
    condition     = strcontains(local.dashboard_rows[6].widgets[2].properties.markdown, "**staging/backend, auth, mailer, web**, with the databases books, common, staging-ledger, staging-main, put to sleep and woken by")
    error_message = "the dashboard names the databases, too"
  }

  assert {
    condition     = [for metric in local.dashboard_rows[2].widgets[0].properties.metrics : metric[3] if metric[0] == "AWS/SQS"] == ["mail", "bills.fifo"]
    error_message = "it shows the messages"
  }

  assert {
    condition     = local.saved_per_hour == 0.01234 * 3
    error_message = "and an hour asleep saves a task of each service that is stopped"
  }
}

run "long_names_of_ten_services_fit_what_aws_takes" {
  variables {
    cluster_name = format("%060d", 0)
    databases    = {}
    heartbeat    = {}
    services = merge(
      { for number in range(9) : "worker-${number}" => { service_name = format("%060d", number) } },
      { mailer = { queue_arns = ["arn:aws:sqs:eu-west-1:123456789012:mail"] } },
    )
  }

  assert {
    condition = (
      length(local.service_label) == 511
      && length(aws_lambda_function.this.description) <= 256
      && length(aws_iam_role.this.description) <= 1000
      && alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.idle), values(aws_cloudwatch_metric_alarm.people)) : length(alarm.alarm_description) <= 1024])
      && alltrue([for rule in aws_cloudwatch_event_rule.this : length(rule.description) <= 512])
    )
    error_message = "descriptions are cut"
  }
}

run "queues_alone_need_no_load_balancer" {
  variables {
    checks_enabled    = true
    dashboard_enabled = true
    heartbeat         = {}
    services = {
      mailer = { queue_arns = ["arn:aws:sqs:eu-north-1:210987654321:mail"] }
      worker = {}
    }
    databases = {}
  }

  assert {
    condition = 0 == (
      length(aws_lb_listener_rule.fixed) + length(aws_lb_listener_rule.service) + length(aws_lb_listener_rule.wake)
      + length(aws_lb_target_group.warmkeeper) + length(aws_lb_target_group_attachment.warmkeeper)
      + length(data.aws_lb.service) + length(data.aws_lb_listener.service) + length(data.aws_lb_listener_rule.service) + length(data.aws_lb_target_group.service)
      + length(aws_cloudwatch_metric_alarm.wake) + length(aws_lambda_invocation.route) + length(aws_lambda_invocation.database)
    )
    error_message = "nothing on a listener, and no wake alarm"
  }

  assert {
    condition = keys(aws_cloudwatch_event_rule.this) == ["ecs-service", "ecs-task", "tick"] && keys(aws_lambda_permission.this) == [
      "ecs-service", "ecs-task", "idle-alarm-queue-mailer-1", "tick",
    ]
    error_message = "the tick sees the messages"
  }

  assert {
    condition = {
      for key, value in aws_lambda_function.this.environment[0].variables : key => value
      if contains(["ACCOUNT", "MEMBERS", "DATABASES", "ROUTES", "TARGET_GROUP_ARNS", "IDLE_ALARM_ARNS", "WAKE_TARGET_GROUP_ARN", "CONTROL_TARGET_GROUP_ARN", "HEARTBEAT_PATH", "WAKE_ALARM_ARN"], key)
      } == {
      ACCOUNT                  = "arn:aws:*:eu-north-1:210987654321:"
      MEMBERS                  = jsonencode({ mailer = { queues = ["mail"] }, worker = {} })
      ROUTES                   = jsonencode({ rules = "", routes = {} })
      TARGET_GROUP_ARNS        = ""
      IDLE_ALARM_ARNS          = "web-idle-queue-mailer-1"
      WAKE_TARGET_GROUP_ARN    = ""
      CONTROL_TARGET_GROUP_ARN = ""
      HEARTBEAT_PATH           = ""
    }
    error_message = "region and account are those of the queue"
  }

  assert {
    condition = data.aws_iam_policy_document.this.statement[*].sid == tolist([
      "WriteLog", "ReadMemoryAndSettings", "WriteMemory", "SeeAndScaleService", "SeeDeployments", "SeeAutoscaling",
      "SuspendAutoscaling", "ListTasks", "SeeTasks", "SeeTaskDefinitions", "ReadIdleAlarm", "CountMessages", "TellPeople",
    ])
    error_message = "no right to a load balancer"
  }

  assert {
    condition     = length(output.wake_rule_arns) + length(output.service_rule_arns) == 0 && output.status_path == null && output.health_path == null && output.heartbeat_path == null
    error_message = "nothing to ask over HTTP"
  }

  assert {
    condition = [for metric in local.dashboard_up : metric if metric[0] == "AWS/ECS"] == [
      ["AWS/ECS", "CPUUtilization", "ServiceName", "mailer", "ClusterName", "staging", { id = "live", stat = "SampleCount", visible = false }],
      ["AWS/ECS", "CPUUtilization", "ServiceName", "worker", "ClusterName", "staging", { id = "live1", stat = "SampleCount", visible = false }],
    ]
    error_message = "the dashboard counts tasks"
  }
}

# Names of services, target groups, the load balancer, queues and databases as long as AWS and the module allow
# them, or of 32 characters. There is room for about 400 bytes more, which other inputs need.
run "ten_services_fit_the_function_s_environment" {
  variables {
    name         = "an-environment-of-twelve"
    cluster_name = "a-cluster-of-thirty-two-letters-"
    heartbeat    = { route = "service-of-tens0/this" }

    services = {
      for n in range(10) : "service-of-tens${n}" => {
        service_name = "a-service-of-thirty-two-letters${n}"
        routes = {
          this = {
            service_rule_arn     = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:listener-rule/app/a-balancer-of-thirty-two-letters/1111111111111111/2222222222222222/333333333333333${n}"
            rule_priority        = 10010 + 10 * n
            parked_rule_priority = 40010 + 10 * n
            conditions           = { host_header = ["${n}.example.com"] }
            target_group_arns    = ["arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/target-group-of-thirty-letters-${n}/012345678abcdef${n}"]
          }
        }
        queue_arns  = n < 2 ? ["arn:aws:sqs:ap-northeast-1:123456789012:${join("", [for letter in range(79) : "q"])}${n}"] : []
        start_after = n < 2 ? ["a-database-tens${n}"] : []
      }
    }
    databases = {
      for n in range(2) : "a-database-tens${n}" => { db_instance_identifier = "${join("", [for letter in range(62) : "d"])}${n}" }
    }
  }

  override_resource {
    target = aws_lb_listener_rule.wake
    values = { arn = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:listener-rule/app/a-balancer-of-thirty-two-letters/1111111111111111/2222222222222222/5555555555555555" }
  }

  override_resource {
    target = aws_lb_listener_rule.fixed
    values = { arn = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:listener-rule/app/a-balancer-of-thirty-two-letters/1111111111111111/2222222222222222/6666666666666666" }
  }

  override_resource {
    target = aws_lb_target_group.warmkeeper
    values = { arn = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/an-environment-of-twelve-control/7777777777777777" }
  }

  assert {
    condition     = local.environment_bytes <= local.most_environment_bytes - 400
    error_message = "${local.environment_bytes} bytes are too many: ${jsonencode(local.environment)}"
  }
}
