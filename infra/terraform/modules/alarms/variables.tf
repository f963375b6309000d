variable "name" {
  description = "What the alarms' names begin with."
  type        = string
}

variable "account_id" {
  description = "The account's number."
  type        = string
}

variable "kms_key_arn" {
  description = "Encrypts what waits in the topic."
  type        = string
}

variable "emails" {
  description = "Who is told."
  type        = list(string)

  validation {
    condition     = length(var.emails) > 0
    error_message = "An alarm that nobody hears is none."
  }
}

variable "database_identifier" {
  description = "The RDS instance."
  type        = string
}

variable "redis_group_id" {
  description = "The replication group of ElastiCache."
  type        = string
}
