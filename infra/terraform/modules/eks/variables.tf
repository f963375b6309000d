variable "name" {
  description = "The cluster's name."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version)) && tonumber(split(".", var.kubernetes_version)[1]) >= 30
    error_message = "The manifests take Kubernetes 1.30 or later, written as 1.34."
  }
}

variable "subnet_ids" {
  description = "Private subnets, of at least two zones."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Encrypts Secrets and logs."
  type        = string
}

variable "public_access_cidrs" {
  description = "Who reaches the API from outside; empty: nobody."
  type        = list(string)

  validation {
    condition     = !contains(var.public_access_cidrs, "0.0.0.0/0")
    error_message = "The API of the cluster is not for the whole internet: name the addresses that need it."
  }
}

variable "admin_principal_arns" {
  description = "IAM roles or users that administrate the cluster."
  type        = list(string)

  validation {
    condition     = length(var.admin_principal_arns) > 0
    error_message = "Without an administrator nobody can use the cluster."
  }
}

variable "deployer_role_arn" {
  description = "The role that deploys into the namespace."
  type        = string
}

variable "namespace" {
  description = "Where the service runs."
  type        = string
}

variable "node_groups" {
  description = "Nodes by the name of their group."
  type = map(object({
    instance_types = list(string)
    min            = number
    max            = number
    spot           = optional(bool, false)
    arm64          = optional(bool, false)
  }))

  validation {
    condition     = anytrue([for group in var.node_groups : !group.spot && group.min >= 2])
    error_message = "One group must have at least two nodes that AWS does not take away: two pods are the service's least."
  }
}

variable "pod_roles" {
  description = "IAM roles of service accounts."
  type        = map(object({ namespace = string, service_account = string, role_arn = string }))
}

variable "disk_gib" {
  description = "Disk of a node."
  type        = number
  default     = 30
}

variable "log_days" {
  description = "How long the API's logs are kept."
  type        = number
  default     = 90
}
