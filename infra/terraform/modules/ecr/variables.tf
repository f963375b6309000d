variable "name" {
  description = "The repository's name."
  type        = string
}

variable "kms_key_arn" {
  description = "Encrypts the layers."
  type        = string
}

variable "kept_images" {
  description = "How many images are kept."
  type        = number
  default     = 60
}
