output "replication_group_id" {
  description = "What alarms name."
  value       = aws_elasticache_replication_group.this.id
}

output "primary_endpoint" {
  description = "Host of the primary."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}
