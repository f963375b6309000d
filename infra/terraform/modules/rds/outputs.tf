output "address" {
  description = "Host of the database."
  value       = aws_db_instance.this.address
}

output "identifier" {
  description = "What alarms name."
  value       = aws_db_instance.this.identifier
}

output "password_secret_arn" {
  description = "Where RDS keeps the password."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}
