# The modules whose services a stand-in of AWS (moto) has: applied, looked at for drift, and destroyed by
# tests/infra/test_terraform_apply.py. It has no parameter groups of ElastiCache, no addons, access entries and Pod
# Identity of EKS, and no subscribers of budgets: those modules are planned only, with made-up answers.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "endpoint" {
  description = "Where the stand-in listens."
  type        = string
}

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "made-up"
  secret_key                  = "made-up"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
  s3_use_path_style           = true

  endpoints {
    cloudwatch     = var.endpoint
    ec2            = var.endpoint
    ecr            = var.endpoint
    iam            = var.endpoint
    kms            = var.endpoint
    rds            = var.endpoint
    s3             = var.endpoint
    secretsmanager = var.endpoint
    sns            = var.endpoint
    sts            = var.endpoint
  }
}

data "aws_caller_identity" "current" {}

locals {
  name       = "mlapi-dev"
  region     = "eu-central-1"
  account_id = data.aws_caller_identity.current.account_id
}

module "secrets" {
  source = "../../modules/secrets"

  name          = local.name
  region        = local.region
  account_id    = local.account_id
  secrets       = { redis-url = "MLAPI_REDIS_URL", api-keys = "keys.json" }
  recovery_days = 0
}

module "network" {
  source = "../../modules/network"

  name         = local.name
  region       = local.region
  cidr         = "10.20.0.0/16"
  zone_count   = 2
  nat_per_zone = false
}

module "ecr" {
  source = "../../modules/ecr"

  name        = local.name
  kms_key_arn = module.secrets.kms_key_arn
}

module "s3" {
  source = "../../modules/s3"

  name          = local.name
  kms_key_arn   = module.secrets.kms_key_arn
  force_destroy = true
}

module "iam" {
  source = "../../modules/iam"

  name                   = local.name
  region                 = local.region
  account_id             = local.account_id
  kms_key_arn            = module.secrets.kms_key_arn
  secret_arns            = values(module.secrets.arns)
  bucket_arn             = module.s3.bucket_arn
  repository_arn         = module.ecr.repository_arn
  github_repository      = "example/mlapi"
  github_environments    = ["dev"]
  create_github_provider = true
}

resource "aws_security_group" "nodes" {
  name        = "${local.name}-nodes"
  description = "Stands for the one that EKS makes"
  vpc_id      = module.network.vpc_id
}

module "rds" {
  source = "../../modules/rds"

  name                   = local.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  node_security_group_id = aws_security_group.nodes.id
  kms_key_arn            = module.secrets.kms_key_arn
  instance_class         = "db.t4g.small"
  multi_az               = false
  deletion_protection    = false
}

module "alarms" {
  source = "../../modules/alarms"

  name                = local.name
  account_id          = local.account_id
  kms_key_arn         = module.secrets.kms_key_arn
  emails              = ["operations@example.com"]
  database_identifier = module.rds.identifier
  redis_group_id      = local.name
}
