# Notices in a Slack channel, and two commands there: `@Amazon Q run wake-staging` and `run sleep-staging`.
# **Nobody has run this on AWS yet.** The tests plan it with a mocked provider.
#
# The service rule matches every host and every path, as in ../minimal.
#
# First authorize the workspace, by hand and once: AWS console, Amazon Q Developer in chat applications,
# "Configure new client". The console shows the ID of the workspace.
#
# The provider has no resource for custom actions, so a stack of CloudFormation makes them. They belong to
# the account and not to a channel: https://docs.aws.amazon.com/chatbot/latest/APIReference/API_CustomAction.html

variable "name" {
  description = "The module's name, which is part of the commands. At most 10 characters in eu-central-1: see the precondition below."
  type        = string
  default     = "staging"
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_name" {
  description = "Name of the ECS service. If Terraform manages it, set ignore_changes = [desired_count] there."
  type        = string
}

variable "target_group_arn" {
  description = "ARN of the service's target group."
  type        = string
}

variable "service_rule_arn" {
  description = "ARN of the listener rule that forwards to that target group."
  type        = string
}

variable "rule_priority" {
  description = "The first of three free priorities directly before that rule's. This number + 30000 must be free as well: the wake rule has it while the service is awake."
  type        = number
}

variable "public_url" {
  description = "URL at which people open the service, such as https://staging.example.com: each notice links to the page that wakes it."
  type        = string
}

variable "slack_workspace_id" {
  description = "ID of the Slack workspace, such as T07EA123LEP."
  type        = string
}

variable "slack_channel_id" {
  description = "ID of the channel, such as C07EZ1ABC23: the end of the channel's link. A private channel must invite @Amazon Q first."
  type        = string
}

module "scale_to_zero" {
  source = "../../"

  name              = var.name
  cluster_name      = var.cluster_name
  service_name      = var.service_name
  target_group_arns = [var.target_group_arn]
  service_rule_arn  = var.service_rule_arn
  rule_priority     = var.rule_priority
  public_url        = var.public_url
}

# ---------------------------------------------------------------------------------------------
# What the channel may do: invoke this function, and nothing else
# ---------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "invoke" {
  statement {
    sid       = "InvokeWarmkeeper"
    actions   = ["lambda:InvokeFunction"]
    resources = [module.scale_to_zero.function_arn]
  }
}

data "aws_iam_policy_document" "chat" {
  statement {
    sid     = "ChatAssumesRole"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["chatbot.amazonaws.com"]
    }
  }
}

resource "aws_iam_policy" "invoke" {
  name   = "${var.name}-chat"
  policy = data.aws_iam_policy_document.invoke.json
}

resource "aws_iam_role" "chat" {
  name               = "${var.name}-chat"
  assume_role_policy = data.aws_iam_policy_document.chat.json
}

resource "aws_iam_role_policy_attachment" "chat" {
  role       = aws_iam_role.chat.name
  policy_arn = aws_iam_policy.invoke.arn
}

resource "aws_chatbot_slack_channel_configuration" "this" {
  configuration_name    = var.name
  slack_team_id         = var.slack_workspace_id
  slack_channel_id      = var.slack_channel_id
  iam_role_arn          = aws_iam_role.chat.arn
  sns_topic_arns        = [module.scale_to_zero.topic_arn]
  guardrail_policy_arns = [aws_iam_policy.invoke.arn] # left out, it would be AdministratorAccess
}

# ---------------------------------------------------------------------------------------------
# The commands
# ---------------------------------------------------------------------------------------------

locals {
  region = split(":", module.scale_to_zero.function_arn)[3]

  # The chat waits 15 s for an answer, so `wake` does not wait: a notice says when the service is awake. One
  # hyphen is enough there.
  # https://docs.aws.amazon.com/chatbot/latest/adminguide/intro-to-the-aws-cli-in-slack.html
  commands = {
    for command in ["wake", "sleep"] : command => join(" ", [
      "lambda invoke",
      "-function-name ${module.scale_to_zero.function_name}",
      "-payload ${jsonencode({ command = command })}",
      "-region ${local.region}",
    ])
  }
}

resource "aws_cloudformation_stack" "actions" {
  # checkov:skip=CKV_AWS_124: nobody waits for events of a stack of two custom actions
  name = "${var.name}-chat"

  template_body = jsonencode({
    Resources = {
      for command, text in local.commands : title(command) => {
        Type = "AWS::Chatbot::CustomAction"
        Properties = {
          ActionName = "${var.name}-${command}"
          AliasName  = "${command}-${var.name}"
          Definition = { CommandText = text }
        }
      }
    }
  })

  lifecycle {
    precondition {
      condition     = alltrue([for text in values(local.commands) : length(text) <= 100])
      error_message = "name: the text of a custom action may have 100 characters, and these have ${jsonencode([for text in values(local.commands) : length(text)])}. Write a shorter name than \"${var.name}\"."
    }
  }
}

output "commands" {
  description = "What to write in the channel."
  value       = [for command in keys(local.commands) : "@Amazon Q run ${command}-${var.name}"]
}
