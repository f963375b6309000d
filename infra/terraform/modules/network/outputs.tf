output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Where load balancers are."
  value       = aws_subnet.public[*].id
}

output "private_subnet_ids" {
  description = "Where nodes and stores are."
  value       = aws_subnet.private[*].id
}
