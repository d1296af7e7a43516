output "datasource_url" {
  description = "URL of Grafana's Loki datasource."
  value       = aws_lambda_function_url.function["query"].function_url
}

output "push_url" {
  description = "Where collectors push: add loki/api/v1/push or otlp/v1/logs."
  value       = aws_lambda_function_url.function["ingest"].function_url
}

output "bucket_name" {
  value = aws_s3_bucket.logs.id
}

output "ingest_function_arn" {
  value = aws_lambda_function.function["ingest"].arn
}

output "query_function_arn" {
  value = aws_lambda_function.function["query"].arn
}

output "not_stored_queue_url" {
  description = "Events that could not be stored."
  value       = aws_sqs_queue.not_stored.url
}

output "front_queue_url" {
  value = var.queue_in_front ? aws_sqs_queue.front[0].url : null
}
