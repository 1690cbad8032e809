# What AWS would answer, where the provider checks the form of it.

mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_iam_policy_document" {
  defaults = {
    json = "{}"
  }
}

mock_resource "aws_iam_policy" {
  defaults = {
    arn = "arn:aws:iam::123456789012:policy/web-chat"
  }
}

mock_resource "aws_iam_role" {
  defaults = {
    arn = "arn:aws:iam::123456789012:role/web-warmkeeper"
  }
}

mock_resource "aws_lambda_function" {
  defaults = {
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:web-warmkeeper"
  }
}

# The warmkeeper's answer to an apply: it has found nothing.
mock_resource "aws_lambda_invocation" {
  defaults = {
    result = "{\"wiring\": {}}"
  }
}

mock_resource "aws_sns_topic" {
  defaults = {
    arn = "arn:aws:sns:eu-west-1:123456789012:web-warmkeeper"
  }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:eu-west-1:123456789012:mail"
  }
}

mock_resource "aws_dynamodb_table" {
  defaults = {
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/web-warmkeeper"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = {
    arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/web-warmkeeper"
  }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = {
    arn = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:web-of-some-kind"
  }
}

mock_resource "aws_cloudwatch_event_rule" {
  defaults = {
    arn = "arn:aws:events:eu-west-1:123456789012:rule/web-of-some-kind"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-lambda/4444444444444444"
  }
}

mock_resource "aws_lb" {
  defaults = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
  }
}

mock_resource "aws_lb_listener" {
  defaults = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
  }
}

mock_resource "aws_lb_listener_rule" {
  defaults = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/5555555555555555"
  }
}

# What the checks look at, as they like it. Blocks of a data source (the rule's conditions and actions)
# cannot be mocked: the rule has none.

mock_data "aws_lb_listener_rule" {
  defaults = {
    arn      = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
    priority = 100
  }
}

mock_data "aws_lb_listener" {
  defaults = {
    arn            = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/2222222222222222"
    default_action = [{ type = "fixed-response", target_group_arn = "", forward = [] }]
  }
}

mock_data "aws_lb_target_group" {
  defaults = {
    arn                  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"
    target_type          = "ip"
    deregistration_delay = "15"
    health_check         = [{ interval = 5, timeout = 3 }]
  }
}

mock_data "aws_lb" {
  defaults = {
    arn          = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/1111111111111111"
    idle_timeout = 60
  }
}
