# A whole staging estate whose one service sleeps while nobody uses it: a network, a load balancer,
# a Fargate service with a small sample application, and the module. It runs on AWS as it is.
#
# Awake it costs some 36 USD a month for a small task and the load balancer, as it would without the module.
# Asleep it costs nothing for the task; the load balancer stays. The module itself costs about 1 USD a month.

locals {
  port = 8080

  # The module needs the priority of the service rule, and the first of three free priorities before it (four
  # with websocket_rule). While the service is awake, the wake rule has the priority 30010.
  service_rule_priority = 100
  first_free_priority   = 10

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
  # checkov:skip=CKV_AWS_382: the registry and the log have no fixed addresses
  name        = "${var.name}-task"
  description = "From the load balancer, and out for the image and the log"
  vpc_id      = aws_vpc.this.id

  ingress {
    description     = "Load balancer"
    from_port       = local.port
    to_port         = local.port
    protocol        = "tcp"
    security_groups = [aws_security_group.load_balancer.id]
  }

  egress {
    description = "Image registry and log"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
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

  # Not the service: a default action comes after every rule, so the wake rule could not be placed behind it.
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
resource "aws_lb_target_group" "app" {
  # checkov:skip=CKV_AWS_378: inside the network, plain HTTP
  name                 = "${var.name}-app"
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

resource "aws_lb_listener_rule" "app" {
  listener_arn = aws_lb_listener.http.arn
  priority     = local.service_rule_priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.app.arn
  }

  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  tags = local.tags
}

# ---------------------------------------------------------------------------------------------
# The service
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

resource "aws_cloudwatch_log_group" "app" {
  # checkov:skip=CKV_AWS_158: the sample application logs no secrets
  # checkov:skip=CKV_AWS_338: the sample application's log is not needed for a year
  name              = "/ecs/${var.name}-app"
  retention_in_days = 14
  tags              = local.tags
}

resource "aws_ecs_cluster" "this" {
  # checkov:skip=CKV_AWS_65: container insights cost more than this estate
  name = var.name
  tags = local.tags
}

resource "aws_ecs_task_definition" "app" {
  # checkov:skip=CKV_AWS_336: Python writes its caches; nothing is kept
  family                   = "${var.name}-app"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution.arn

  container_definitions = jsonencode([
    {
      name         = "app"
      image        = var.image
      command      = ["python", "-u", "-c", file("${path.module}/app/app.py")]
      essential    = true
      environment  = [{ name = "PORT", value = tostring(local.port) }]
      portMappings = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.app.name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "app"
        }
      }
    },
  ])

  tags = local.tags
}

resource "aws_ecs_service" "app" {
  # checkov:skip=CKV_AWS_333: a public address instead of a NAT gateway; the security group allows only the load balancer
  name            = "${var.name}-app"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.app.arn
  launch_type     = "FARGATE"
  desired_count   = 1

  # Required with health checks every 5 s: without it ECS stops a task that takes 15 s to start.
  health_check_grace_period_seconds = 60

  network_configuration {
    subnets          = [for subnet in aws_subnet.public : subnet.id]
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = true
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.app.arn
    container_name   = "app"
    container_port   = local.port
  }

  tags = local.tags

  # ECS accepts a target group only if a rule uses it, and a task needs the route to pull its image, also
  # while the module is being destroyed.
  depends_on = [
    aws_lb_listener_rule.app,
    aws_iam_role_policy_attachment.execution,
    aws_route_table_association.public,
  ]

  # The warmkeeper sets the count. Without this line every apply would wake the service.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

# ---------------------------------------------------------------------------------------------
# The module
# ---------------------------------------------------------------------------------------------

module "scale_to_zero" {
  source = "../../"

  name              = var.name
  cluster_name      = aws_ecs_cluster.this.name
  service_name      = aws_ecs_service.app.name
  target_group_arns = [aws_lb_target_group.app.arn]

  wake_path         = var.wake_path
  service_rule_arn  = aws_lb_listener_rule.app.arn
  rule_priority     = local.first_free_priority
  websocket_rule    = var.websocket_rule
  load_balancer_arn = aws_lb.this.arn # used on the alarm path only

  idle_minutes       = var.idle_minutes
  linger_seconds     = var.linger_seconds
  restore_on_destroy = var.restore_on_destroy

  heartbeat = {
    token_parameter_arn = var.heartbeat_token_parameter_arn
  }

  notification_emails = var.notification_emails
  dashboard_enabled   = var.dashboard_enabled
  tags                = local.tags
}
