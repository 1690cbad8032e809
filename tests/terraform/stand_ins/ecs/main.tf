# terraform-aws-modules/ecs, as much of it as examples/terraform-aws-modules uses: the inputs that the example
# sets, and the outputs that it reads, in the shapes of release 5.12. The registry cannot be reached by a test.

variable "cluster_name" {
  type = string
}

variable "services" {
  type = any
}

resource "aws_ecs_cluster" "this" {
  name = var.cluster_name
}

module "service" {
  source   = "./service"
  for_each = var.services

  name        = each.key
  cluster_arn = aws_ecs_cluster.this.arn
  settings    = each.value
}

output "cluster_name" {
  value = aws_ecs_cluster.this.name
}

output "services" {
  value = module.service
}
