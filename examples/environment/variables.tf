variable "name" {
  description = "Prefix of everything in this environment."
  type        = string
  default     = "environment"
  nullable    = false
}

variable "region" {
  description = "AWS region. Its zones a and b are used."
  type        = string
  default     = "us-east-1"
  nullable    = false
}

variable "vpc_cidr" {
  description = "Addresses of the network, a /16."
  type        = string
  default     = "10.0.0.0/16"
  nullable    = false
}

variable "allowed_cidrs" {
  description = "CIDR blocks that may reach the load balancer. The web server reaches the API there, by the public address of its task."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false
}

variable "image" {
  description = "An image with Python 3.11 or later, in which the programs run."
  type        = string
  default     = "public.ecr.aws/docker/library/python:3.13-alpine"
  nullable    = false
}

variable "idle_minutes" {
  description = "Minutes without a request and without a message after which the environment is drowsy."
  type        = number
  default     = 5
  nullable    = false
}

variable "linger_seconds" {
  description = "How long the drowsy environment keeps its tasks, in seconds."
  type        = number
  default     = 60
  nullable    = false
}

variable "stop_after_minutes" {
  description = "Minutes of sleep after which the database is stopped. Starting it takes minutes."
  type        = number
  default     = 120
  nullable    = false
}

variable "use_service_connect" {
  description = "Let the web server reach the API by Service Connect, and not through the load balancer."
  type        = bool
  default     = false
  nullable    = false
}

variable "notification_emails" {
  description = "E-mail addresses that get the notices."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "dashboard_enabled" {
  description = "Make a CloudWatch dashboard."
  type        = bool
  default     = true
  nullable    = false
}
