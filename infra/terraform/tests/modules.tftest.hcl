# Each module by itself: what a reviewer of its resources would look for.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1c", "eu-central-1a", "eu-central-1b"] }
  }

  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made-up" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-00000000000000000", latest_version = 1 }
  }

  mock_resource "aws_eks_cluster" {
    defaults = { vpc_config = { cluster_security_group_id = "sg-00000000000000001" } }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:made-up" }
  }
}

variables {
  name                   = "mlapi-test"
  region                 = "eu-central-1"
  account_id             = "123456789012"
  kms_key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
  vpc_id                 = "vpc-0"
  subnet_ids             = ["subnet-0", "subnet-1"]
  node_security_group_id = "sg-00000000000000001"
  emails                 = ["operations@example.com"]
}

run "network_of_three_zones" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr         = "10.20.0.0/16"
    zone_count   = 3
    nat_per_zone = true
  }

  assert {
    condition     = [for subnet in aws_subnet.private : subnet.availability_zone] == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    error_message = "Zones are taken in their order, so that a plan is the same tomorrow."
  }

  assert {
    condition     = length(distinct(concat(aws_subnet.private[*].cidr_block, aws_subnet.public[*].cidr_block))) == 6
    error_message = "No two subnets share addresses."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch != true])
    error_message = "What is in a private subnet has no public address."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "A zone's way out does not lead through another zone."
  }
}

run "network_takes_a_16_only" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr         = "10.20.0.0/20"
    zone_count   = 2
    nat_per_zone = false
  }

  expect_failures = [var.cidr]
}

run "images_are_not_moved" {
  command = plan

  module {
    source = "./modules/ecr"
  }

  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "A tag is a commit for ever."
  }

  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "What is pushed is scanned."
  }
}

run "buckets_are_private" {
  command = plan

  module {
    source = "./modules/s3"
  }

  variables {
    force_destroy = false
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Nothing in the bucket is public."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "What is overwritten can be brought back."
  }
}

run "postgres_of_prod" {
  command = plan

  module {
    source = "./modules/rds"
  }

  variables {
    instance_class      = "db.t4g.small"
    multi_az            = true
    deletion_protection = true
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible
    error_message = "The database is encrypted and not reached from outside."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password
    error_message = "RDS makes the password: it is in no state file."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "A mistake does not delete the opinions."
  }

  assert {
    condition     = contains([for item in aws_db_parameter_group.this.parameter : "${item.name}=${item.value}"], "rds.force_ssl=1")
    error_message = "Nobody connects without TLS."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.nodes.cidr_ipv4 == null && aws_vpc_security_group_ingress_rule.nodes.referenced_security_group_id == var.node_security_group_id
    error_message = "Only nodes reach the database."
  }
}

run "redis_with_a_replica" {
  command = plan

  module {
    source = "./modules/elasticache"
  }

  variables {
    node_type     = "cache.t4g.small"
    replicas      = 1
    url_secret_id = "made-up"
  }

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.at_rest_encryption_enabled
    error_message = "The cache is encrypted on the way and at rest."
  }

  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.num_cache_clusters == 2
    error_message = "A replica takes over."
  }

  assert {
    condition     = contains([for item in aws_elasticache_parameter_group.this.parameter : "${item.name}=${item.value}"], "maxmemory-policy=allkeys-lfu")
    error_message = "What is asked for least goes first."
  }
}

run "cluster" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    kubernetes_version   = "1.34"
    public_access_cidrs  = []
    admin_principal_arns = ["arn:aws:iam::123456789012:role/administrators"]
    deployer_role_arn    = "arn:aws:iam::123456789012:role/deployer"
    namespace            = "mlapi"
    node_groups          = { steady = { instance_types = ["c7i.large"], min = 2, max = 4 } }
    pod_roles            = { training = { namespace = "mlapi", service_account = "learn", role_arn = "arn:aws:iam::123456789012:role/training" } }
  }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "Without addresses to let in, the API is not reached from outside."
  }

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Who may use the cluster is said here, and nobody else may."
  }

  assert {
    condition     = aws_launch_template.node.metadata_options[0].http_tokens == "required" && aws_launch_template.node.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "A pod does not reach its node's credentials."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "Network policies are enforced."
  }

  assert {
    condition     = one(aws_eks_access_policy_association.deployer.access_scope).type == "namespace"
    error_message = "A deployment changes one namespace."
  }

  assert {
    condition     = aws_eks_access_entry.deployer.kubernetes_groups == toset(["mlapi-deployers"])
    error_message = "A deployment may change what .k8s/deployers grants, and is in no other group."
  }
}

run "cluster_not_for_the_whole_internet" {
  command = plan

  module {
    source = "./modules/eks"
  }

  variables {
    kubernetes_version   = "1.34"
    public_access_cidrs  = ["0.0.0.0/0"]
    admin_principal_arns = []
    deployer_role_arn    = "arn:aws:iam::123456789012:role/deployer"
    namespace            = "mlapi"
    node_groups          = { spot = { instance_types = ["c7i.large"], min = 2, max = 4, spot = true } }
    pod_roles            = {}
  }

  expect_failures = [var.public_access_cidrs, var.admin_principal_arns, var.node_groups]
}

run "alarms_are_heard" {
  command = plan

  module {
    source = "./modules/alarms"
  }

  variables {
    database_identifier = "mlapi-test"
    redis_group_id      = "mlapi-test"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 5 && alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.treat_missing_data == "breaching"])
    error_message = "A store that gives no figures is a store in trouble."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.email) == 1
    error_message = "Somebody is told."
  }
}

run "budget_tells_before_and_at_the_limit" {
  command = plan

  module {
    source = "./modules/budget"
  }

  variables {
    monthly_usd = 500
    tag_key     = "environment"
    tag_value   = "mlapi-test"
  }

  assert {
    condition     = aws_budgets_budget.this.limit_amount == "500" && length(aws_budgets_budget.this.notification) == 2
    error_message = "Told at four fifths, and when the whole will be spent."
  }
}
