variable "name" {
  type = string
}

variable "cluster_arn" {
  type = string
}

variable "settings" {
  type = any
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 1024
  memory                   = 2048

  container_definitions = jsonencode([
    for name, container in var.settings.container_definitions : {
      name         = name
      image        = container.image
      portMappings = container.port_mappings
    }
  ])
}

resource "aws_ecs_service" "this" {
  name            = var.name
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.this.arn
  launch_type     = "FARGATE"
  desired_count   = 1

  health_check_grace_period_seconds = var.settings.health_check_grace_period_seconds

  network_configuration {
    subnets = var.settings.subnet_ids
  }

  dynamic "load_balancer" {
    for_each = var.settings.load_balancer

    content {
      target_group_arn = load_balancer.value.target_group_arn
      container_name   = load_balancer.value.container_name
      container_port   = load_balancer.value.container_port
    }
  }

  lifecycle {
    ignore_changes = [desired_count]
  }
}

output "name" {
  value = aws_ecs_service.this.name
}
