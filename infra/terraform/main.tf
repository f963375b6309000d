# Everything that an environment of mlapi needs in one AWS account and region. README.md says how to use it.

data "aws_caller_identity" "current" {}

locals {
  name       = "${var.project}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  durable    = var.environment == "prod"
  secrets = {
    redis-url      = "MLAPI_REDIS_URL, with its password; written by the module elasticache"
    feedback-url   = "MLAPI_FEEDBACK_URL of mlapi learn serve"
    api-keys       = "keys.json, see docs/access.md"
    smoke-test-key = "The API key that deploy.sh asks with"
    answer-ids     = "The secret that signs the ids of answers"
  }
}

module "secrets" {
  source = "./modules/secrets"

  name          = local.name
  region        = var.region
  account_id    = local.account_id
  secrets       = local.secrets
  recovery_days = local.durable ? 30 : 0
}

module "network" {
  source = "./modules/network"

  name         = local.name
  region       = var.region
  cidr         = var.vpc_cidr
  zone_count   = var.zone_count
  nat_per_zone = local.durable
}

module "ecr" {
  source = "./modules/ecr"

  name        = local.name
  kms_key_arn = module.secrets.kms_key_arn
}

module "s3" {
  source = "./modules/s3"

  name          = local.name
  kms_key_arn   = module.secrets.kms_key_arn
  force_destroy = !local.durable
}

module "iam" {
  source = "./modules/iam"

  name                   = local.name
  region                 = var.region
  account_id             = local.account_id
  kms_key_arn            = module.secrets.kms_key_arn
  secret_arns            = values(module.secrets.arns)
  bucket_arn             = module.s3.bucket_arn
  repository_arn         = module.ecr.repository_arn
  github_repository      = var.github_repository
  github_environments    = [var.environment]
  create_github_provider = var.create_github_provider
}

module "eks" {
  source = "./modules/eks"

  name                 = local.name
  kubernetes_version   = var.kubernetes_version
  subnet_ids           = module.network.private_subnet_ids
  kms_key_arn          = module.secrets.kms_key_arn
  public_access_cidrs  = var.public_access_cidrs
  admin_principal_arns = var.admin_principal_arns
  deployer_role_arn    = module.iam.deployer_role_arn
  namespace            = var.namespace
  node_groups          = var.node_groups
  pod_roles = {
    secrets  = { namespace = "external-secrets", service_account = "external-secrets", role_arn = module.iam.pod_role_arns["secrets"] }
    training = { namespace = var.namespace, service_account = "learn", role_arn = module.iam.pod_role_arns["training"] }
  }
}

module "rds" {
  source = "./modules/rds"

  name                   = local.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  node_security_group_id = module.eks.node_security_group_id
  kms_key_arn            = module.secrets.kms_key_arn
  instance_class         = var.database_class
  multi_az               = local.durable
  deletion_protection    = local.durable
}

module "elasticache" {
  source = "./modules/elasticache"

  name                   = local.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  node_security_group_id = module.eks.node_security_group_id
  kms_key_arn            = module.secrets.kms_key_arn
  node_type              = var.redis_node_type
  replicas               = local.durable ? 1 : 0
  url_secret_id          = module.secrets.arns["redis-url"]
}

module "alarms" {
  source = "./modules/alarms"

  name                = local.name
  account_id          = local.account_id
  kms_key_arn         = module.secrets.kms_key_arn
  emails              = var.alarm_emails
  database_identifier = module.rds.identifier
  redis_group_id      = module.elasticache.replication_group_id
}

module "budget" {
  source = "./modules/budget"

  name        = local.name
  monthly_usd = var.monthly_budget_usd
  tag_key     = "environment"
  tag_value   = local.name
  emails      = var.alarm_emails
}
