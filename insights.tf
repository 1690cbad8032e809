# What the log tells, asked in CloudWatch Logs Insights: saved there under the module's name, and asked
# by the dashboard. A saved query costs nothing, a run costs by the log that it reads.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html

locals {
  # One line of the log is one JSON object, whose fields Logs Insights finds by itself.
  queries = {
    wakes-by-cause = [
      "filter ispresent(wake.seconds)",
      "stats count(*) as wakes, avg(wake.seconds) as seconds, max(wake.seconds) as slowest by wake.cause",
      "sort wakes desc",
    ]
    slowest-cold-starts = [
      "filter ispresent(wake.seconds)",
      "fields @timestamp, wake.cause, wake.seconds, ${join(", ", [for stage in local.stages : "wake.stages.${stage} as ${stage}"])}, wake.asleep_minutes",
      "sort wake.seconds desc",
      "limit 20",
    ]
    ignored-requests = [
      "filter ispresent(ignored)",
      "stats count(*) as requests, max(@timestamp) as last by ignored, user_agent",
      "sort requests desc",
      "limit 50",
    ]
    last-decisions = [
      "filter ispresent(signal)",
      "fields @timestamp, signal, before, after, reason, milliseconds",
      "sort @timestamp desc",
      "limit 100",
    ]
  }

  # The stages of a cold start, in their order, as the log names them.
  stages = ["asked", "placed", "pulled", "started", "healthy", "opened"]
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = local.queries

  name            = "${var.name}-warmkeeper/${each.key}"
  log_group_names = [aws_cloudwatch_log_group.this.name]
  query_string    = join("\n| ", each.value)
}
