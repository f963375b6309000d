# The shared tier of the cache. It may be lost at any time: no snapshots, and one replica only where failing over fast is
# worth its price.

# In the state, as is whatever a resource takes as an argument: the state's bucket is encrypted and for administrators.
data "aws_secretsmanager_random_password" "auth_token" {
  password_length     = 64
  exclude_punctuation = true
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis, from the nodes alone"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.node_security_group_id
  description                  = "Redis from the nodes"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "redis7"

  # What is asked for least goes first when it is full, as in .k8s/base.
  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lfu"
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Prediction cache of ${var.name}"

  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.node_type
  num_cache_clusters   = var.replicas + 1
  parameter_group_name = aws_elasticache_parameter_group.this.name

  automatic_failover_enabled = var.replicas > 0
  multi_az_enabled           = var.replicas > 0

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [aws_security_group.this.id]

  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  auth_token                 = data.aws_secretsmanager_random_password.auth_token.random_password
  auth_token_update_strategy = "ROTATE"

  snapshot_retention_limit   = 0
  apply_immediately          = true
  auto_minor_version_upgrade = true

  lifecycle {
    # A new random password with each plan is not a wish to rotate it: docs/deploying.md says how that is done.
    ignore_changes = [auth_token]
  }
}

resource "aws_secretsmanager_secret_version" "url" {
  secret_id     = var.url_secret_id
  secret_string = "rediss://:${data.aws_secretsmanager_random_password.auth_token.random_password}@${aws_elasticache_replication_group.this.primary_endpoint_address}:6379/0"

  lifecycle {
    ignore_changes = [secret_string]
  }
}
