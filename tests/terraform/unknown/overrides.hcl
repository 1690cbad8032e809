# What the mocks cannot know: the second listener is another one, and the default action serves the service.

override_resource {
  target = module.unknown.aws_lb_listener.http

  values = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/edge/1111111111111111/8888888888888888"
  }
}

override_resource {
  target = module.unknown.aws_lb_listener_rule.service["http"]

  values = {
    arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/8888888888888888/9999999999999999"
  }
}

override_data {
  target = module.unknown.module.default_action.data.aws_lb_listener.service

  values = {
    default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-lambda/4444444444444444", forward = [] }]
  }
}

override_resource {
  target = module.unknown.aws_ssm_parameter.token

  values = {
    arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/web/token"
  }
}

override_data {
  target = module.unknown.module.environment.data.aws_lb_listener.service["api/default"]

  values = {
    default_action = [{ type = "forward", target_group_arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web-lambda/4444444444444444", forward = [] }]
  }
}

override_resource {
  target = module.unknown.aws_db_instance.main

  values = {
    identifier = "main-1"
  }
}

override_resource {
  target = module.unknown.aws_rds_cluster.ledger

  values = {
    cluster_identifier = "ledger-1"
  }
}

override_resource {
  target = module.unknown.aws_cognito_user_pool.staff

  values = {
    arn = "arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_staff"
  }
}
