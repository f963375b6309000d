variable "name" {
  description = "The budget's name."
  type        = string
}

variable "monthly_usd" {
  description = "The limit, in US dollars a month."
  type        = number

  validation {
    condition     = var.monthly_usd > 0
    error_message = "A budget of nothing tells nothing."
  }
}

variable "tag_key" {
  description = "The tag by which costs are told from others; it must be active as a cost allocation tag."
  type        = string
}

variable "tag_value" {
  description = "The tag's value."
  type        = string
}

variable "emails" {
  description = "Who is told."
  type        = list(string)
}
