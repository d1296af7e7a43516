# The two functions, each with a role that may do what it does and nothing else, and a URL.

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  has_secret    = var.bearer_tokens_secret != ""
  bearer_tokens = local.has_secret ? data.aws_secretsmanager_secret_version.bearer_tokens[0].secret_string : var.bearer_tokens
  has_sign_in   = local.has_secret || nonsensitive(var.bearer_tokens != "")
  functions = {
    ingest = { zip = var.ingest_zip, memory = var.ingest_memory_megabytes, seconds = 300, concurrency = var.ingest_concurrency, disk = 512 }
    query  = { zip = var.query_zip, memory = var.query_memory_megabytes, seconds = 120, concurrency = var.query_concurrency, disk = 2048 }
  }
  arn = {
    for name in keys(local.functions) : name =>
    "arn:${data.aws_partition.current.partition}:lambda:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:function:${var.name}-${name}"
  }
  # What each may do with the objects below the prefix.
  object_actions = {
    ingest = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    query  = ["s3:GetObject"]
  }
}

data "aws_secretsmanager_secret_version" "bearer_tokens" {
  count     = local.has_secret ? 1 : 0
  secret_id = var.bearer_tokens_secret
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  for_each = local.functions

  statement {
    sid       = "ListTheStore"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.logs.arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.prefix}/*"]
    }
  }
  statement {
    sid       = "UseTheStore"
    actions   = local.object_actions[each.key]
    resources = ["${aws_s3_bucket.logs.arn}/${var.prefix}/*"]
  }
  dynamic "statement" {
    for_each = each.key == "query" ? [1] : []
    content {
      sid       = "WriteDownDeleteRequests"
      actions   = ["s3:PutObject"]
      resources = ["${aws_s3_bucket.logs.arn}/${var.prefix}/t/*/deletes/*"]
    }
  }
  # Both ask the ingest function for merges; the query function asks itself for leaves.
  statement {
    sid       = "AskFunctions"
    actions   = ["lambda:InvokeFunction"]
    resources = distinct([local.arn["ingest"], local.arn[each.key]])
  }
  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }
  dynamic "statement" {
    for_each = each.key == "ingest" ? [1] : []
    content {
      sid       = "HandOverWhatCannotBeStored"
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.not_stored.arn]
    }
  }
  dynamic "statement" {
    for_each = each.key == "ingest" && var.queue_in_front ? [1] : []
    content {
      sid       = "TakeFromTheQueue"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
      resources = [aws_sqs_queue.front[0].arn]
    }
  }
}

resource "aws_iam_role" "function" {
  for_each           = local.functions
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions
  name     = "logbarn"
  role     = aws_iam_role.function[each.key].id
  policy   = data.aws_iam_policy_document.function[each.key].json
}

resource "aws_cloudwatch_log_group" "function" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts log groups with its own key; the functions' own lines hold no log data and no secret
  #checkov:skip=CKV_AWS_338:How long a function's own lines are kept is the user's choice
  for_each          = local.functions
  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.function_log_days
  tags              = var.tags
}

resource "aws_lambda_function" "function" {
  #checkov:skip=CKV_AWS_117:They talk to S3 alone; a VPC would add an endpoint to pay for and nothing to protect
  #checkov:skip=CKV_AWS_173:The environment holds hashes, never secrets
  #checkov:skip=CKV_AWS_116:Failed events go to a destination, which carries more than a dead letter does
  #checkov:skip=CKV_AWS_272:The zip is built and deployed from one checkout
  #checkov:skip=CKV_AWS_50:X-Ray costs per request; the functions log a trace id
  for_each                       = local.functions
  function_name                  = "${var.name}-${each.key}"
  role                           = aws_iam_role.function[each.key].arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = each.value.zip
  source_code_hash               = filebase64sha256(each.value.zip)
  memory_size                    = each.value.memory
  timeout                        = each.value.seconds
  reserved_concurrent_executions = each.value.concurrency
  tags                           = var.tags

  ephemeral_storage {
    size = each.value.disk
  }
  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function[each.key].name
  }
  environment {
    variables = merge(
      {
        LOGBARN_STORE          = "s3://${aws_s3_bucket.logs.id}/${var.prefix}"
        LOGBARN_CONFIG         = var.config
        LOGBARN_BEARER_TOKENS  = local.bearer_tokens
        LOGBARN_MERGE_FUNCTION = "${var.name}-ingest"
      },
      # It asks itself for the leaves of large questions, and its URL takes streams.
      each.key == "query" ? { LOGBARN_LEAVES = "lambda:${var.name}-query", LOGBARN_RESPONSE_STREAM = "true" } : {},
    )
  }
}

resource "aws_lambda_function_url" "function" {
  #checkov:skip=CKV_AWS_258:The URL's callers sign in to the function; without sign-in the URL asks for IAM
  for_each           = local.functions
  function_name      = aws_lambda_function.function[each.key].function_name
  authorization_type = local.has_sign_in ? "NONE" : "AWS_IAM"
  invoke_mode        = each.key == "query" ? "RESPONSE_STREAM" : "BUFFERED"
}

# A URL without IAM needs both permissions.
resource "aws_lambda_permission" "url" {
  #checkov:skip=CKV_AWS_301:Only when callers sign in to the function itself
  for_each               = local.has_sign_in ? local.functions : {}
  statement_id           = "url"
  function_name          = aws_lambda_function.function[each.key].function_name
  action                 = "lambda:InvokeFunctionUrl"
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "through_url" {
  #checkov:skip=CKV_AWS_301:Only through the URL, and only when callers sign in to the function itself
  for_each                 = local.has_sign_in ? local.functions : {}
  statement_id             = "through-url"
  function_name            = aws_lambda_function.function[each.key].function_name
  action                   = "lambda:InvokeFunction"
  principal                = "*"
  invoked_via_function_url = true
}

resource "aws_lambda_function_event_invoke_config" "ingest" {
  function_name                = aws_lambda_function.function["ingest"].function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600
  destination_config {
    on_failure {
      destination = aws_sqs_queue.not_stored.arn
    }
  }
}
