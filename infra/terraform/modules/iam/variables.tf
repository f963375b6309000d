variable "name" {
  description = "What the roles' names begin with; also the cluster's name."
  type        = string
}

variable "region" {
  description = "Where everything is."
  type        = string
}

variable "account_id" {
  description = "The account's number."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of secrets and objects."
  type        = string
}

variable "secret_arns" {
  description = "The service's secrets."
  type        = list(string)
}

variable "bucket_arn" {
  description = "The bucket of data sets and bundles."
  type        = string
}

variable "repository_arn" {
  description = "The repository of images."
  type        = string
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflow deploys."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "It is written as OWNER/NAME, without a pattern: everybody who matches one could deploy."
  }
}

variable "github_environments" {
  description = "Environments of that repository that may deploy."
  type        = list(string)
}

variable "create_github_provider" {
  description = "Whether the account does not know GitHub's tokens yet; there can be one provider an account."
  type        = bool
}
