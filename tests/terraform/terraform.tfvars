# The least that a caller writes. `terraform test` reads it for every test file of this folder, whose own
# `variables` come before it:
# https://developer.hashicorp.com/terraform/language/tests#variables
name              = "web"
cluster_name      = "staging"
service_name      = "web"
target_group_arns = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
service_rule_arn  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/edge/1111111111111111/2222222222222222/3333333333333333"
rule_priority     = 10
