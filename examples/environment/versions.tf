terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

# Endpoints and credentials come from the environment: nothing at all for AWS, AWS_ENDPOINT_URL for
# a cloud on this machine.
provider "aws" {
  region = var.region
}
