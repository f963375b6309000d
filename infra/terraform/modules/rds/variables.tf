variable "name" {
  description = "The instance's name."
  type        = string
}

variable "vpc_id" {
  description = "Where it is."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, of at least two zones."
  type        = list(string)
}

variable "node_security_group_id" {
  description = "Who may connect."
  type        = string
}

variable "kms_key_arn" {
  description = "Encrypts storage, password and insights."
  type        = string
}

variable "engine_version" {
  description = "Major version of PostgreSQL; minor ones come by themselves."
  type        = string
  default     = "18"
}

variable "instance_class" {
  description = "Its size."
  type        = string
}

variable "storage_gib" {
  description = "Its disk, which grows up to four times that."
  type        = number
  default     = 20
}

variable "multi_az" {
  description = "Whether a second zone has a copy that takes over."
  type        = bool
}

variable "backup_days" {
  description = "How far back it can be restored."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "RDS keeps backups for 1 to 35 days."
  }
}

variable "deletion_protection" {
  description = "Whether it can be destroyed only after this is taken away."
  type        = bool
}
