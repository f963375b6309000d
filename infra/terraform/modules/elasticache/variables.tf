variable "name" {
  description = "The replication group's name."
  type        = string
}

variable "vpc_id" {
  description = "Where it is."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "node_security_group_id" {
  description = "Who may connect."
  type        = string
}

variable "kms_key_arn" {
  description = "Encrypts what is at rest."
  type        = string
}

variable "node_type" {
  description = "Its size."
  type        = string
}

variable "replicas" {
  description = "Copies in other zones; 0: an empty cache after a failure."
  type        = number

  validation {
    condition     = var.replicas >= 0 && var.replicas <= 5
    error_message = "ElastiCache takes 0 to 5 replicas."
  }
}

variable "url_secret_id" {
  description = "The secret that is to hold MLAPI_REDIS_URL."
  type        = string
}
