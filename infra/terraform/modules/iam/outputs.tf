output "pod_role_arns" {
  description = "Roles of pods, by what they are for."
  value       = { for name, role in aws_iam_role.pod : name => role.arn }
}

output "deployer_role_arn" {
  description = "What the workflow assumes."
  value       = aws_iam_role.deployer.arn
}

output "policies" {
  description = "The policies as JSON, by role, for review."
  value       = merge(local.pods, { deployer = data.aws_iam_policy_document.deployer.json })
}
