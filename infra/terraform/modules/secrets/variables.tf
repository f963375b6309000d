variable "name" {
  description = "What the secrets' names begin with."
  type        = string
}

variable "region" {
  description = "Where they are."
  type        = string
}

variable "account_id" {
  description = "The account's number."
  type        = string
}

variable "secrets" {
  description = "What each secret holds, by name."
  type        = map(string)
}

variable "recovery_days" {
  description = "How long a deleted secret can be brought back; 0: not at all."
  type        = number
  default     = 30
}
