output "repository_url" {
  description = "What images are named."
  value       = aws_ecr_repository.this.repository_url
}

output "repository_arn" {
  description = "What a policy names."
  value       = aws_ecr_repository.this.arn
}
