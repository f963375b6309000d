output "cluster_name" {
  description = "For `aws eks update-kubeconfig`."
  value       = aws_eks_cluster.this.name
}

output "node_security_group_id" {
  description = "What all nodes are in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "cluster_arn" {
  description = "What a policy names."
  value       = aws_eks_cluster.this.arn
}
