# Every shape of the module beside what it is wired to, in one configuration: no ARN is known to the plan,
# and neither `count` nor `for_each` may hang on one.

resource "aws_lb" "edge" {
  name    = "edge"
  subnets = ["subnet-0123456789abcdef0"]
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.edge.arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = "arn:aws:acm:eu-west-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service["blue"].arn
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.edge.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service["blue"].arn
  }
}

resource "aws_lb_target_group" "service" {
  for_each = toset(["blue", "green"])

  name        = each.key
  vpc_id      = "vpc-0123456789abcdef0"
  target_type = "ip"
  port        = 8080
  protocol    = "HTTP"
}

resource "aws_lb_listener_rule" "service" {
  for_each = {
    https = aws_lb_listener.https.arn
    http  = aws_lb_listener.http.arn
  }

  listener_arn = each.value
  priority     = 100

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service["blue"].arn
  }

  condition {
    path_pattern {
      values = ["/*"]
    }
  }
}

resource "aws_ssm_parameter" "token" {
  name  = "/web/token"
  type  = "SecureString"
  value = "secret"
}

resource "aws_cognito_user_pool" "staff" {
  name = "staff"
}

resource "aws_cognito_user_pool_client" "staff" {
  name            = "staff"
  user_pool_id    = aws_cognito_user_pool.staff.id
  generate_secret = true
}

resource "aws_sqs_queue" "mail" {
  name_prefix = "mail-"
}

resource "aws_db_instance" "main" {
  identifier_prefix = "main-"
  instance_class    = "db.t4g.micro"
}

resource "aws_rds_cluster" "ledger" {
  cluster_identifier_prefix = "ledger-"
  engine                    = "aurora-postgresql"
}

module "plain" {
  source = "../../"

  name              = "plain"
  cluster_name      = "staging"
  service_name      = "web"
  target_group_arns = [aws_lb_target_group.service["blue"].arn]
  service_rule_arn  = aws_lb_listener_rule.service["https"].arn
  rule_priority     = 97
  dashboard_enabled = true
  heartbeat         = { token_parameter_arn = aws_ssm_parameter.token.arn }
}

module "alarm_path" {
  source = "../../"

  name              = "alarm-path"
  cluster_name      = "staging"
  service_name      = "web"
  target_group_arns = [aws_lb_target_group.service["blue"].arn]
  wake_path         = "alarm"
  load_balancer_arn = aws_lb.edge.arn
}

module "several_groups" {
  source = "../../"

  name              = "several-groups"
  cluster_name      = "staging"
  service_name      = "web"
  target_group_arns = [aws_lb_target_group.service["blue"].arn, aws_lb_target_group.service["green"].arn]
  service_rule_arn  = aws_lb_listener_rule.service["https"].arn
  rule_priority     = 87
  dashboard_enabled = true
  service_connect   = [{ discovery_name = "web" }]
}

module "routes" {
  source = "../../"

  name              = "routes"
  cluster_name      = "staging"
  service_name      = "web"
  target_group_arns = [aws_lb_target_group.service["blue"].arn]
  heartbeat         = { route = "https" }

  routes = {
    https = {
      service_rule_arn = aws_lb_listener_rule.service["https"].arn
      rule_priority    = 77
      websocket_rule   = true
    }
    http = {
      service_rule_arn  = aws_lb_listener_rule.service["http"].arn
      rule_priority     = 77
      target_group_arns = [aws_lb_target_group.service["green"].arn]
    }
  }
}

module "default_action" {
  source = "../../"

  name                = "default-action"
  cluster_name        = "staging"
  service_name        = "web"
  target_group_arns   = [aws_lb_target_group.service["blue"].arn]
  create_service_rule = true
  listener_arn        = aws_lb_listener.https.arn
  rule_priority       = 200
}

# The secret is unknown and sensitive.
module "behind_a_proxy" {
  source = "../../"

  name                 = "behind-a-proxy"
  cluster_name         = "staging"
  service_name         = "web"
  target_group_arns    = [aws_lb_target_group.service["blue"].arn]
  service_rule_arn     = aws_lb_listener_rule.service["https"].arn
  rule_priority        = 67
  parked_rule_priority = 40000
  checks_enabled       = false
  conditions = {
    http_header = [{ http_header_name = "X-Origin-Secret", values = [aws_ssm_parameter.token.value] }]
  }
}

# Of the logins nothing is known but that they are there, and the secret is sensitive.
module "logins" {
  source = "../../"

  name              = "logins"
  cluster_name      = "staging"
  service_name      = "web"
  target_group_arns = [aws_lb_target_group.service["blue"].arn]
  checks_enabled    = false
  heartbeat         = { route = "oidc" }

  routes = {
    oidc = {
      service_rule_arn     = aws_lb_listener_rule.service["https"].arn
      rule_priority        = 47
      parked_rule_priority = 40001
      authenticate_oidc = {
        authorization_endpoint = "${aws_ssm_parameter.token.arn}/authorize"
        client_id              = aws_ssm_parameter.token.id
        issuer                 = aws_ssm_parameter.token.arn
        token_endpoint         = "${aws_ssm_parameter.token.arn}/token"
        user_info_endpoint     = "${aws_ssm_parameter.token.arn}/userinfo"
      }
    }
    cognito = {
      create_service_rule = true
      listener_arn        = aws_lb_listener.https.arn
      rule_priority       = 400
      authenticate_cognito = {
        user_pool_arn       = aws_cognito_user_pool.staff.arn
        user_pool_client_id = aws_cognito_user_pool_client.staff.id
        user_pool_domain    = aws_cognito_user_pool.staff.domain
      }
    }
  }
  authenticate_oidc_client_secrets = { oidc = aws_ssm_parameter.token.value }
}

module "environment" {
  source = "../../"

  name              = "environment"
  cluster_name      = "staging"
  dashboard_enabled = true
  heartbeat         = { route = "web/this" }

  services = {
    web = {
      routes = {
        this = {
          service_rule_arn  = aws_lb_listener_rule.service["https"].arn
          rule_priority     = 57
          target_group_arns = [aws_lb_target_group.service["blue"].arn]
          websocket_rule    = true
        }
      }
      start_after = ["api"]
    }
    api = {
      routes = {
        default = {
          create_service_rule = true
          listener_arn        = aws_lb_listener.http.arn
          rule_priority       = 300
          target_group_arns   = [aws_lb_target_group.service["green"].arn]
        }
      }
      start_after     = ["main", "ledger"]
      service_connect = [{ discovery_name = "api" }]
    }
    mailer = {
      queue_arns = [aws_sqs_queue.mail.arn]
      required   = false
    }
    auth = { shared = true }
  }
  databases = {
    main   = { db_instance_identifier = aws_db_instance.main.identifier }
    ledger = { db_cluster_identifier = aws_rds_cluster.ledger.cluster_identifier, shared = true }
  }
}

module "queues" {
  source = "../../"

  name              = "queues"
  cluster_name      = "staging"
  dashboard_enabled = true
  services          = { mailer = { queue_arns = [aws_sqs_queue.mail.arn] } }
}
