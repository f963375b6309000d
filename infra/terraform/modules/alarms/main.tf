# What Prometheus in the cluster cannot tell: how the stores beside it are doing, and that a bill is not.

resource "aws_sns_topic" "this" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

data "aws_iam_policy_document" "topic" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.this.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  arn    = aws_sns_topic.this.arn
  policy = data.aws_iam_policy_document.topic.json
}

resource "aws_sns_topic_subscription" "email" {
  for_each = toset(var.emails)

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.key
}

locals {
  database = { DBInstanceIdentifier = var.database_identifier }
  redis    = { ReplicationGroupId = var.redis_group_id }
  alarms = {
    database-cpu     = { namespace = "AWS/RDS", metric = "CPUUtilization", dimensions = local.database, above = true, threshold = 80, minutes = 15 }
    database-storage = { namespace = "AWS/RDS", metric = "FreeStorageSpace", dimensions = local.database, above = false, threshold = 2147483648, minutes = 15 }
    database-memory  = { namespace = "AWS/RDS", metric = "FreeableMemory", dimensions = local.database, above = false, threshold = 67108864, minutes = 15 }
    redis-cpu        = { namespace = "AWS/ElastiCache", metric = "EngineCPUUtilization", dimensions = local.redis, above = true, threshold = 80, minutes = 10 }
    redis-memory     = { namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", dimensions = local.redis, above = true, threshold = 98, minutes = 60 }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "See docs/runbook.md"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Average"
  period              = 60
  evaluation_periods  = each.value.minutes
  datapoints_to_alarm = each.value.minutes
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  # No figures are bad news, too: the store is gone, or nobody measures it.
  treat_missing_data = "breaching"
  alarm_actions      = [aws_sns_topic.this.arn]
  ok_actions         = [aws_sns_topic.this.arn]
}
