# Where entries come from besides pushes, and where events go that could not be stored.

resource "aws_sqs_queue" "not_stored" {
  #checkov:skip=CKV_AWS_27:Encrypted by SQS itself; the check knows keys of KMS alone
  name                       = "${var.name}-not-stored"
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 1800
  sqs_managed_sse_enabled    = true
  tags                       = var.tags
}

resource "aws_sqs_queue" "front" {
  #checkov:skip=CKV_AWS_27:Encrypted by SQS itself; the check knows keys of KMS alone
  count = var.queue_in_front ? 1 : 0
  name  = "${var.name}-front"
  # Six times the function's time-out, as AWS advises for event sources.
  visibility_timeout_seconds = 1800
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.not_stored.arn
    maxReceiveCount     = 5
  })
  tags = var.tags
}

resource "aws_lambda_event_source_mapping" "front" {
  count                              = var.queue_in_front ? 1 : 0
  event_source_arn                   = aws_sqs_queue.front[0].arn
  function_name                      = aws_lambda_function.function["ingest"].arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = 5
  function_response_types            = ["ReportBatchItemFailures"]
}

resource "aws_lambda_permission" "cloudwatch" {
  for_each       = var.log_groups
  function_name  = aws_lambda_function.function["ingest"].function_name
  action         = "lambda:InvokeFunction"
  principal      = "logs.amazonaws.com"
  source_account = data.aws_caller_identity.current.account_id
  source_arn     = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:log-group:${each.key}:*"
}

resource "aws_cloudwatch_log_subscription_filter" "log_group" {
  for_each        = var.log_groups
  name            = var.name
  log_group_name  = each.key
  filter_pattern  = each.value
  destination_arn = aws_lambda_function.function["ingest"].arn
  depends_on      = [aws_lambda_permission.cloudwatch]
}

resource "aws_cloudwatch_event_rule" "look_after" {
  count               = var.look_after_schedule == "" ? 0 : 1
  name                = "${var.name}-look-after"
  description         = "Merges what is owed of the newest days, and collects garbage"
  schedule_expression = var.look_after_schedule
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "look_after" {
  count = var.look_after_schedule == "" ? 0 : 1
  rule  = aws_cloudwatch_event_rule.look_after[0].name
  arn   = aws_lambda_function.function["ingest"].arn
}

resource "aws_lambda_permission" "look_after" {
  count          = var.look_after_schedule == "" ? 0 : 1
  function_name  = aws_lambda_function.function["ingest"].function_name
  action         = "lambda:InvokeFunction"
  principal      = "events.amazonaws.com"
  source_account = data.aws_caller_identity.current.account_id
  source_arn     = aws_cloudwatch_event_rule.look_after[0].arn
}
