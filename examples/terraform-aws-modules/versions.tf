terraform {
  required_version = ">= 1.9"

  # terraform-aws-modules/ecs 5 has a block that provider 6 no longer knows.
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}
