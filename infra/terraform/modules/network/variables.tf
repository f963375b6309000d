variable "name" {
  description = "What everything is named after."
  type        = string
}

variable "region" {
  description = "Where the VPC is."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "The VPC takes a /16, such as 10.20.0.0/16."
  }
}

variable "zone_count" {
  description = "Availability zones in use."
  type        = number

  validation {
    condition     = contains([2, 3], var.zone_count)
    error_message = "EKS and RDS take at least two zones; three are the most that are worth their traffic."
  }
}

variable "nat_per_zone" {
  description = "Whether each zone has a NAT gateway of its own; one is cheaper, and its zone a single point of failure."
  type        = bool
}
