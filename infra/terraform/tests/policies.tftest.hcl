# Policies as the provider writes them; it is the real one, and asks nobody.

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "made-up"
  secret_key                  = "made-up"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  skip_region_validation      = true
}

variables {
  name                   = "mlapi-test"
  region                 = "eu-central-1"
  account_id             = "123456789012"
  kms_key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/1"
  secret_arns            = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:mlapi-test/redis-url-abcdef"]
  bucket_arn             = "arn:aws:s3:::mlapi-test"
  repository_arn         = "arn:aws:ecr:eu-central-1:123456789012:repository/mlapi-test"
  github_repository      = "example/mlapi"
  github_environments    = ["prod"]
  create_github_provider = true
}

run "no_role_may_do_everything" {
  command = plan

  module {
    source = "./modules/iam"
  }

  assert {
    condition = alltrue(flatten([
      for policy in output.policies : [
        for statement in jsondecode(policy).Statement : [
          for action in flatten([statement.Action]) : !strcontains(action, "*")
        ]
      ]
    ]))
    error_message = "Each action is named."
  }

  assert {
    condition = [
      for statement in flatten([for policy in output.policies : jsondecode(policy).Statement]) :
      statement.Action if contains(flatten([statement.Resource]), "*")
    ] == ["ecr:GetAuthorizationToken"]
    error_message = "Each action is bound to resources, except the one that cannot be."
  }

  assert {
    condition = !anytrue(flatten([
      for statement in jsondecode(output.policies.training).Statement : [
        for action in flatten([statement.Action]) : strcontains(action, "Delete")
      ]
    ]))
    error_message = "Training deletes nothing."
  }
}

run "a_pattern_of_repositories_is_refused" {
  command = plan

  module {
    source = "./modules/iam"
  }

  variables {
    github_repository = "example/*"
  }

  expect_failures = [var.github_repository]
}
