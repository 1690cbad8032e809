# Two services on one listener, in one configuration.

module "web" {
  source = "../../"

  name              = "web"
  cluster_name      = "staging"
  service_name      = "web"
  target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
  service_rule_arn  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
  rule_priority     = 97
  dashboard_enabled = true
}

module "api" {
  source = "../../"

  name              = "api"
  cluster_name      = "staging"
  service_name      = "api"
  target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/fedcba9876543210"]
  service_rule_arn  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/4444444444444444"
  rule_priority     = 87
  dashboard_enabled = true
}
