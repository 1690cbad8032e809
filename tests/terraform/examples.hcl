# What the mocks cannot know of the examples: the rules' own listeners and numbers, and a default action
# that serves the service.

override_data {
  target = module.several-rules.data.aws_lb_listener.this["80"]

  values = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/8888888888888888"
  }
}

override_data {
  target = module.several-rules.data.aws_lb_listener_rule.service["http"]

  values = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/8888888888888888/9999999999999999"
  }
}

override_data {
  target = module.several-rules.module.scale_to_zero.data.aws_lb_listener_rule.service["www"]

  values = {
    priority = 110
  }
}

override_data {
  target = module.default-action.module.scale_to_zero.data.aws_lb_listener.service

  values = {
    default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef", forward = [] }]
  }
}
