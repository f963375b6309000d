output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.eks.cluster_name
}

output "image_repository" {
  description = "For IMAGE of build-push.sh and deploy.sh."
  value       = module.ecr.repository_url
}

output "bucket" {
  description = "Data sets, bundles and DVC's remote."
  value       = module.s3.bucket
}

output "database_address" {
  description = "Host of PostgreSQL."
  value       = module.rds.address
}

output "database_password_secret_arn" {
  description = "Where RDS keeps the database's password."
  value       = module.rds.password_secret_arn
}

output "deployer_role_arn" {
  description = "The variable AWS_ROLE of the GitHub environment."
  value       = module.iam.deployer_role_arn
}

output "policies" {
  description = "What each role may do, as JSON."
  value       = module.iam.policies
}
