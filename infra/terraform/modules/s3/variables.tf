variable "name" {
  description = "What the bucket's name begins with."
  type        = string
}

variable "kms_key_arn" {
  description = "Encrypts the objects."
  type        = string
}

variable "noncurrent_days" {
  description = "How long what was overwritten or deleted can be brought back."
  type        = number
  default     = 90
}

variable "force_destroy" {
  description = "Whether the bucket may be destroyed with what is in it."
  type        = bool
}
