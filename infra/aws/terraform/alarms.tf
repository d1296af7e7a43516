# What somebody should hear of.

locals {
  alarm_actions = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]
  function_alarms = {
    ingest-errors    = { function = "ingest", metric = "Errors", above = 5, says = "Ingest ends in errors; clients keep what they sent and try again" }
    ingest-throttles = { function = "ingest", metric = "Throttles", above = 0, says = "More pushes at a time than ingest_concurrency allows" }
    query-errors     = { function = "query", metric = "Errors", above = 5, says = "Questions end in errors of the function itself" }
  }
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each            = local.function_alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.says
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = aws_lambda_function.function[each.value.function].function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  threshold           = each.value.above
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "not_stored" {
  alarm_name          = "${var.name}-not-stored"
  alarm_description   = "Events wait in the queue of what could not be stored"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.not_stored.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  tags                = var.tags
}
