variable "project" {
  description = "What names begin with."
  type        = string
  default     = "mlapi"
}

variable "environment" {
  description = "dev, staging or prod; prod is what must not be lost."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "An environment is dev, staging or prod."
  }
}

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string
  default     = "10.20.0.0/16"
}

variable "zone_count" {
  description = "Availability zones in use."
  type        = number
  default     = 2
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  default     = "1.34"
}

variable "public_access_cidrs" {
  description = "Who reaches the cluster's API from outside; empty: nobody, it takes a VPN or a bastion."
  type        = list(string)
  default     = []
}

variable "admin_principal_arns" {
  description = "IAM roles or users that administrate the cluster."
  type        = list(string)
}

variable "namespace" {
  description = "Where the service runs, as in the overlay."
  type        = string
  default     = "mlapi"
}

variable "node_groups" {
  description = "Nodes by the name of their group; c7i has AMX, in which int8 is fastest."
  type = map(object({
    instance_types = list(string)
    min            = number
    max            = number
    spot           = optional(bool, false)
    arm64          = optional(bool, false)
  }))
  default = {
    steady = { instance_types = ["c7i.large"], min = 2, max = 4 }
    peaks  = { instance_types = ["c7i.large", "m7i.large"], min = 0, max = 8, spot = true }
  }
}

variable "database_class" {
  description = "Size of PostgreSQL."
  type        = string
  default     = "db.t4g.small"
}

variable "redis_node_type" {
  description = "Size of Redis: docs/deploying.md says how much different texts take."
  type        = string
  default     = "cache.t4g.small"
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflow deploys."
  type        = string
}

variable "create_github_provider" {
  description = "Whether the account does not know GitHub's tokens yet."
  type        = bool
  default     = true
}

variable "alarm_emails" {
  description = "Who is told of alarms and of the budget."
  type        = list(string)
}

variable "monthly_budget_usd" {
  description = "The month's limit, in US dollars."
  type        = number
}
