variable "name" {
  description = "Names everything that is made."
  type        = string
  default     = "logbarn"
}

variable "bucket_name" {
  description = "The bucket's name; empty lets AWS choose one that begins with `name`."
  type        = string
  default     = ""
}

variable "prefix" {
  description = "The folder of the bucket that holds everything."
  type        = string
  default     = "logs"
}

variable "ingest_zip" {
  description = "Path of ingest-fn.zip, as infra/aws/package builds it."
  type        = string
}

variable "query_zip" {
  description = "Path of query-fn.zip, as infra/aws/package builds it."
  type        = string
}

variable "architecture" {
  description = "Of both zips: arm64 or x86_64."
  type        = string
  default     = "arm64"
  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "The architecture is arm64 or x86_64."
  }
}

variable "config" {
  description = "Logbarn's configuration (Loki's names) as YAML, for both functions."
  type        = string
  default     = "auth_enabled: false"
}

variable "bearer_tokens" {
  description = "Who may push and read, as a YAML list: [{name: grafana, sha256: <of the token>}]. Hashes only. Empty, with bearer_tokens_secret empty as well, closes the URLs to everyone but callers with IAM rights."
  type        = string
  default     = ""
  sensitive   = true
}

variable "bearer_tokens_secret" {
  description = "The name of a secret of Secrets Manager that holds the same text; read when the module is applied."
  type        = string
  default     = ""
}

variable "ingest_memory_megabytes" {
  type    = number
  default = 512
}

variable "query_memory_megabytes" {
  description = "1769 MB is one whole processor."
  type        = number
  default     = 1769
}

variable "ingest_concurrency" {
  description = "Pushes, events and merges that may run at a time."
  type        = number
  default     = 50
}

variable "query_concurrency" {
  description = "Questions and their leaves that may run at a time."
  type        = number
  default     = 50
}

variable "function_log_days" {
  type    = number
  default = 30
}

variable "queue_in_front" {
  description = "Makes an SQS queue whose messages are stored."
  type        = bool
  default     = false
}

variable "log_groups" {
  description = "CloudWatch log groups whose entries are stored too: name to filter pattern."
  type        = map(string)
  default     = {}
}

variable "look_after_schedule" {
  description = "When to merge what is owed of the newest days, such as cron(20 2 * * ? *); empty is never."
  type        = string
  default     = ""
}

variable "alarm_topic_arn" {
  description = "An SNS topic that is told of alarms; empty tells nobody."
  type        = string
  default     = ""
}

variable "tags" {
  type    = map(string)
  default = {}
}
