output "kms_key_arn" {
  description = "The key."
  value       = aws_kms_key.this.arn
}

output "arns" {
  description = "The secrets, by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}
