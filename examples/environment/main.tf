# A whole environment that sleeps as one while nobody uses it: a web server, an API behind the same load balancer,
# a worker with its queue, and a database. It runs on AWS as it is.
#
# The web server's page shows what the API answers, and the API does not start without its database. So a request
# wakes them in order: the database, then the API and the worker, then the web server. A message in the queue wakes
# them too. The environment falls asleep after idle_minutes without a request and without a message, and the
# database is stopped when it has slept for two hours.
#
# Awake it costs some 76 USD a month: three small tasks with public addresses, the load balancer, a small database.
# Asleep the load balancer and the storage of the database stay, some 26 USD. The module itself costs between 1
# and 2 USD. docs/evidence/cost.md has the parts.
#
#   terraform init && terraform apply
#   curl -L "$(terraform output -raw url)/"
#   aws sqs send-message --queue-url "$(terraform output -raw queue_url)" --message-body "a job"
#
# With use_service_connect = true the web server reaches the API by its Service Connect name, and the API has no
# rule and no target group. Requests of the web server keep the environment awake as before: the module has an
# alarm on them. The tasks of the web server and the API are then twice as large, because each runs a proxy. This
# variant runs on the local cloud, too.

locals {
  port          = 8080
  database_port = 5432

  # What the load balancer reaches, and by which path. The API's rule comes first, because the other one matches
  # every path. The module needs the priority of each service rule, and the first of three free priorities before it.
  possible_routes = {
    api = { path = "/api/*", service_rule_priority = 100, first_free_priority = 10 }
    web = { path = "/*", service_rule_priority = 200, first_free_priority = 110 }
  }
  routes = { for key, route in local.possible_routes : key => route if key != "api" || !var.use_service_connect }

  # The programs of the services are app/KEY.py. This is their environment.
  services = {
    api    = { DATABASE = aws_db_instance.main.endpoint }
    web    = { API_URL = "http://${var.use_service_connect ? "api:${local.port}" : aws_lb.this.dns_name}/api" }
    worker = { QUEUE_URL = aws_sqs_queue.jobs.url, AWS_DEFAULT_REGION = var.region }
  }

  # What takes part in Service Connect: the API as a server, the web server as a client.
  connected = var.use_service_connect ? ["api", "web"] : []

  subnet_cidrs = {
    a = cidrsubnet(var.vpc_cidr, 8, 0)
    b = cidrsubnet(var.vpc_cidr, 8, 1)
  }

  tags = {
    Estate = var.name
  }
}

# ---------------------------------------------------------------------------------------------
# The network. Public subnets, so that a task can pull its image without a NAT gateway.
# ---------------------------------------------------------------------------------------------

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11: flow logs cost more than this estate
  # checkov:skip=CKV2_AWS_12: nothing uses the default security group
  cidr_block           = var.vpc_cidr
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = var.name })
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(local.tags, { Name = var.name })
}

resource "aws_subnet" "public" {
  for_each = local.subnet_cidrs

  vpc_id            = aws_vpc.this.id
  availability_zone = "${var.region}${each.key}"
  cidr_block        = each.value
  tags              = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }

  tags = merge(local.tags, { Name = var.name })
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_security_group" "load_balancer" {
  # checkov:skip=CKV_AWS_260: a web site, by plain HTTP; allowed_cidrs narrows it
  name        = "${var.name}-load-balancer"
  description = "HTTP from the callers, and on to the tasks"
  vpc_id      = aws_vpc.this.id

  ingress {
    description = "HTTP"
    from_port   = 80
    to_port     = 80
    protocol    = "tcp"
    cidr_blocks = var.allowed_cidrs
  }

  egress {
    description = "Tasks"
    from_port   = local.port
    to_port     = local.port
    protocol    = "tcp"
    cidr_blocks = [var.vpc_cidr]
  }

  tags = local.tags
}

resource "aws_security_group" "task" {
  # checkov:skip=CKV_AWS_382: the registry, the log and the queue have no fixed addresses
  name        = "${var.name}-task"
  description = "From the load balancer, and out for images, logs, the queue, the database and the API"
  vpc_id      = aws_vpc.this.id

  ingress {
    description     = "Load balancer"
    from_port       = local.port
    to_port         = local.port
    protocol        = "tcp"
    security_groups = [aws_security_group.load_balancer.id]
  }

  dynamic "ingress" {
    for_each = var.use_service_connect ? [local.port] : []

    content {
      description = "The API, from the web server"
      from_port   = ingress.value
      to_port     = ingress.value
      protocol    = "tcp"
      self        = true
    }
  }

  egress {
    description = "Image registry, log, queue, database, load balancer"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }

  tags = local.tags
}

resource "aws_security_group" "database" {
  name        = "${var.name}-database"
  description = "From the tasks"
  vpc_id      = aws_vpc.this.id

  ingress {
    description     = "Tasks"
    from_port       = local.database_port
    to_port         = local.database_port
    protocol        = "tcp"
    security_groups = [aws_security_group.task.id]
  }

  tags = local.tags
}

# ---------------------------------------------------------------------------------------------
# The load balancer
# ---------------------------------------------------------------------------------------------

resource "aws_lb" "this" {
  # checkov:skip=CKV_AWS_91: access logs need a bucket, which a temporary estate does not have
  # checkov:skip=CKV_AWS_150: the estate is temporary
  # checkov:skip=CKV2_AWS_20: plain HTTP, because a certificate needs a domain
  # checkov:skip=CKV2_AWS_28: a firewall costs more than this estate
  name                       = var.name
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.load_balancer.id]
  subnets                    = [for subnet in aws_subnet.public : subnet.id]
  drop_invalid_header_fields = true
  tags                       = local.tags

  depends_on = [aws_internet_gateway.this]
}

resource "aws_lb_listener" "http" {
  # checkov:skip=CKV_AWS_2: plain HTTP, because a certificate needs a domain
  # checkov:skip=CKV_AWS_103: plain HTTP, because a certificate needs a domain
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  # Not a service: a default action comes after every rule, so the wake rule could not be placed behind it.
  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "nothing here"
      status_code  = "404"
    }
  }

  tags = local.tags
}

# An interval of 5 s is the cheapest way to shorten a cold start: one passed check makes a new target healthy.
# During the service's grace period a task may fail checks.
resource "aws_lb_target_group" "this" {
  # checkov:skip=CKV_AWS_378: inside the network, plain HTTP
  for_each = local.routes

  name                 = "${var.name}-${each.key}"
  vpc_id               = aws_vpc.this.id
  target_type          = "ip"
  port                 = local.port
  protocol             = "HTTP"
  deregistration_delay = 15

  health_check {
    path                = "/healthz"
    interval            = 5
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = local.tags
}

resource "aws_lb_listener_rule" "this" {
  for_each = local.routes

  listener_arn = aws_lb_listener.http.arn
  priority     = each.value.service_rule_priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[each.key].arn
  }

  condition {
    path_pattern {
      values = [each.value.path]
    }
  }

  tags = local.tags
}

# ---------------------------------------------------------------------------------------------
# The database and the queue
# ---------------------------------------------------------------------------------------------

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = [for subnet in aws_subnet.public : subnet.id]
  tags       = local.tags
}

# A stopped database cannot be modified: to change one of these, wake the environment first.
resource "aws_db_instance" "main" {
  # checkov:skip=CKV_AWS_118: enhanced monitoring costs more than this environment needs
  # checkov:skip=CKV_AWS_129: the sample application logs in nowhere
  # checkov:skip=CKV_AWS_133: the environment is temporary, and its database is empty
  # checkov:skip=CKV_AWS_157: two zones cost twice as much
  # checkov:skip=CKV_AWS_161: the sample application logs in nowhere
  # checkov:skip=CKV_AWS_293: the environment is temporary
  # checkov:skip=CKV_AWS_353: performance insights are not needed here
  # checkov:skip=CKV2_AWS_30: the sample application makes no queries
  # checkov:skip=CKV2_AWS_60: the environment is temporary
  identifier                  = "${var.name}-main"
  engine                      = "postgres"
  instance_class              = "db.t4g.micro"
  allocated_storage           = 20
  storage_type                = "gp3"
  storage_encrypted           = true
  username                    = "app"
  manage_master_user_password = true
  db_subnet_group_name        = aws_db_subnet_group.this.name
  vpc_security_group_ids      = [aws_security_group.database.id]
  auto_minor_version_upgrade  = true
  skip_final_snapshot         = true
  tags                        = local.tags
}

resource "aws_sqs_queue" "jobs" {
  name                       = "${var.name}-jobs"
  sqs_managed_sse_enabled    = true
  visibility_timeout_seconds = 60
  tags                       = local.tags
}

# ---------------------------------------------------------------------------------------------
# The services
# ---------------------------------------------------------------------------------------------

data "aws_partition" "current" {}

data "aws_iam_policy_document" "assume" {
  statement {
    sid     = "TasksAssume"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "TakeMessages"
    actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.jobs.arn]
  }
}

resource "aws_iam_role" "worker" {
  name               = "${var.name}-worker"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "worker" {
  name   = "queue"
  role   = aws_iam_role.worker.name
  policy = data.aws_iam_policy_document.worker.json
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158: the sample application logs no secrets
  # checkov:skip=CKV_AWS_338: the sample application's log is not needed for a year
  for_each = local.services

  name              = "/ecs/${var.name}-${each.key}"
  retention_in_days = 14
  tags              = local.tags
}

resource "aws_ecs_cluster" "this" {
  # checkov:skip=CKV_AWS_65: container insights cost more than this environment
  name = var.name
  tags = local.tags
}

resource "aws_service_discovery_http_namespace" "this" {
  count = var.use_service_connect ? 1 : 0

  name = var.name
  tags = local.tags
}

resource "aws_ecs_task_definition" "this" {
  # checkov:skip=CKV_AWS_336: Python writes its caches, and the worker installs boto3; nothing is kept
  for_each = local.services

  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"

  # AWS recommends 256 units and 64 MiB more for the proxy of Service Connect:
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html
  cpu    = contains(local.connected, each.key) ? 512 : 256
  memory = contains(local.connected, each.key) ? 1024 : 512

  execution_role_arn = aws_iam_role.execution.arn
  task_role_arn      = each.key == "worker" ? aws_iam_role.worker.arn : null

  container_definitions = jsonencode([merge(
    {
      name      = "app"
      image     = var.image
      command   = ["python", "-u", "-c", file("${path.module}/app/${each.key}.py")]
      essential = true
      environment = [
        for name, value in merge(each.value, { PORT = tostring(local.port) }) : { name = name, value = value }
      ]
      portMappings = [
        for port in [local.port] : merge(
          { containerPort = port, hostPort = port, protocol = "tcp" },
          var.use_service_connect ? { name = "http", appProtocol = "http" } : {}, # without it, requests are not counted
        ) if contains(keys(local.possible_routes), each.key)
      ]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.this[each.key].name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "app"
        }
      }
    },

    # Without a target group, this is how ECS and the module know that the API answers.
    each.key == "api" && var.use_service_connect ? {
      healthCheck = {
        command     = ["CMD", "python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz')"]
        interval    = 5
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
    } : {},
  )])

  tags = local.tags
}

resource "aws_ecs_service" "this" {
  # checkov:skip=CKV_AWS_333: a public address instead of a NAT gateway; the security group allows only the load balancer
  for_each = setsubtract(keys(local.services), ["web"])

  name            = "${var.name}-${each.key}"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.this[each.key].arn
  launch_type     = "FARGATE"
  desired_count   = 1

  # Required with health checks every 5 s: without it ECS stops a task that takes 15 s to start.
  health_check_grace_period_seconds = contains(keys(local.routes), each.key) ? 60 : null

  network_configuration {
    subnets          = [for subnet in aws_subnet.public : subnet.id]
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = true
  }

  dynamic "load_balancer" {
    for_each = contains(keys(local.routes), each.key) ? [aws_lb_target_group.this[each.key].arn] : []

    content {
      target_group_arn = load_balancer.value
      container_name   = "app"
      container_port   = local.port
    }
  }

  dynamic "service_connect_configuration" {
    for_each = contains(local.connected, each.key) ? [aws_service_discovery_http_namespace.this[0].arn] : []

    content {
      enabled   = true
      namespace = service_connect_configuration.value

      service {
        port_name      = "http"
        discovery_name = "api"

        client_alias {
          dns_name = "api"
          port     = local.port
        }
      }
    }
  }

  tags = local.tags

  # ECS accepts a target group only if a rule uses it. A task needs the route to pull its image, and the worker its
  # rights, also while the module is being destroyed.
  depends_on = [
    aws_lb_listener_rule.this,
    aws_iam_role_policy.worker,
    aws_iam_role_policy_attachment.execution,
    aws_route_table_association.public,
  ]

  # The warmkeeper sets the count. Without this line every apply would wake the service.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

# The web server comes after the API: its tasks, and those that replace them, know the names of Service Connect that
# were there when the service was last deployed.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html
resource "aws_ecs_service" "web" {
  # checkov:skip=CKV_AWS_333: a public address instead of a NAT gateway; the security group allows only the load balancer
  name                              = "${var.name}-web"
  cluster                           = aws_ecs_cluster.this.id
  task_definition                   = aws_ecs_task_definition.this["web"].arn
  launch_type                       = "FARGATE"
  desired_count                     = 1
  health_check_grace_period_seconds = 60

  network_configuration {
    subnets          = [for subnet in aws_subnet.public : subnet.id]
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = true
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this["web"].arn
    container_name   = "app"
    container_port   = local.port
  }

  dynamic "service_connect_configuration" {
    for_each = contains(local.connected, "web") ? [aws_service_discovery_http_namespace.this[0].arn] : []

    content {
      enabled   = true
      namespace = service_connect_configuration.value
    }
  }

  tags       = local.tags
  depends_on = [aws_ecs_service.this, aws_lb_listener_rule.this]

  lifecycle {
    ignore_changes = [desired_count]
  }
}

# ---------------------------------------------------------------------------------------------
# The module
# ---------------------------------------------------------------------------------------------

module "scale_to_zero" {
  source = "../../"

  name         = var.name
  cluster_name = aws_ecs_cluster.this.name

  services = {
    web = {
      service_name = aws_ecs_service.web.name
      start_after  = ["api"]
      routes = {
        this = {
          service_rule_arn  = aws_lb_listener_rule.this["web"].arn
          rule_priority     = local.routes.web.first_free_priority
          conditions        = { path_pattern = [local.routes.web.path] }
          target_group_arns = [aws_lb_target_group.this["web"].arn]
        }
      }
    }

    api = {
      service_name = aws_ecs_service.this["api"].name
      start_after  = ["main"]

      # A route, or a name of Service Connect.
      routes = {
        for key in ["this"] : key => {
          service_rule_arn  = aws_lb_listener_rule.this["api"].arn
          rule_priority     = local.routes.api.first_free_priority
          conditions        = { path_pattern = [local.routes.api.path] }
          target_group_arns = [aws_lb_target_group.this["api"].arn]
        } if !var.use_service_connect
      }
      service_connect = [for name in ["api"] : { discovery_name = name } if var.use_service_connect]
    }

    worker = {
      service_name = aws_ecs_service.this["worker"].name
      queue_arns   = [aws_sqs_queue.jobs.arn]
    }
  }

  databases = {
    main = {
      db_instance_identifier = aws_db_instance.main.identifier
      stop_after_minutes     = var.stop_after_minutes
    }
  }

  # A proxy or a program that holds connections reports its activity to this route's hosts.
  heartbeat = { route = "web/this" }

  idle_minutes        = var.idle_minutes
  linger_seconds      = var.linger_seconds
  notification_emails = var.notification_emails
  dashboard_enabled   = var.dashboard_enabled
  tags                = local.tags
}
