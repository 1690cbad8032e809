# What the warmkeeper answers to an apply, where it has found something. A file of its own: a mocked answer
# stays in the state of the runs after it.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

run "warns_of_what_the_warmkeeper_has_found" {
  override_resource {
    target = aws_lambda_invocation.this
    values = { result = "{\"phase\": \"awake\", \"wiring\": {\"it has traffic that the module cannot see\": \"Cloud Map, arn:aws:servicediscovery:eu-west-1:123456789012:service/srv-1\"}}" }
  }

  expect_failures = [check.wiring]
}
