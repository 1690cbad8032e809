variable "name" {
  description = "Prefix of everything in this estate."
  type        = string
  default     = "staging"
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
  description = "CIDR blocks that may reach the load balancer."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false
}

variable "image" {
  description = "An image with Python 3.11 or later, in which the sample application runs."
  type        = string
  default     = "public.ecr.aws/docker/library/python:3.13-alpine"
  nullable    = false
}

variable "wake_path" {
  description = "How the service is woken: \"listener\" or \"alarm\"."
  type        = string
  default     = "listener"
  nullable    = false
}

variable "idle_minutes" {
  description = "Minutes without a request after which the service is drowsy."
  type        = number
  default     = 5
  nullable    = false
}

variable "linger_seconds" {
  description = "How long the drowsy service keeps its tasks, in seconds."
  type        = number
  default     = 60
  nullable    = false
}

variable "websocket_rule" {
  description = "Pass WebSocket upgrades to the service also while it is not awake."
  type        = bool
  default     = false
  nullable    = false
}

variable "heartbeat_token_parameter_arn" {
  description = "ARN of an SSM SecureString with the heartbeat's bearer token. Null: heartbeats need no token."
  type        = string
  default     = null
}

variable "restore_on_destroy" {
  description = "Leave the service up when the module is destroyed."
  type        = bool
  default     = true
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
