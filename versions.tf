# 1.9 is the first Terraform in which a variable's validation may look at another variable.
# The provider is the only one: the package is committed, nothing is built or drawn by lot. 5.100 is
# what it was tried with.
terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}
