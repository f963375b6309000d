# What an environment is made of, planned without an account: every answer of AWS is made up.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1c", "eu-central-1a", "eu-central-1b"] }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_data "aws_secretsmanager_random_password" {
    defaults = { random_password = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made-up" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/made-up" }
  }

  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made-up", id = "made-up" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::made-up", id = "made-up", bucket = "made-up" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:made-up" }
  }

  mock_resource "aws_ecr_repository" {
    defaults = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/made-up" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-00000000000000000", latest_version = 1 }
  }

  mock_resource "aws_eks_cluster" {
    defaults = { vpc_config = { cluster_security_group_id = "sg-00000000000000001" } }
  }
}

variables {
  environment          = "prod"
  region               = "eu-central-1"
  admin_principal_arns = ["arn:aws:iam::123456789012:role/administrators"]
  github_repository    = "example/mlapi"
  alarm_emails         = ["operations@example.com"]
  monthly_budget_usd   = 500
}

run "prod_survives_a_zone_and_a_mistake" {
  command = apply

  assert {
    condition     = length(module.network.private_subnet_ids) == 2 && length(module.network.public_subnet_ids) == 2
    error_message = "Each zone has a private and a public subnet."
  }

  assert {
    condition     = length(output.policies) == 3
    error_message = "There is a policy for secrets, for training and for the deployer, and no other."
  }

  assert {
    condition     = output.cluster_name == "mlapi-prod"
    error_message = "Names begin with the project and the environment."
  }
}

run "wrong_environments_are_refused" {
  command = plan

  variables {
    environment = "production"
  }

  expect_failures = [var.environment]
}
