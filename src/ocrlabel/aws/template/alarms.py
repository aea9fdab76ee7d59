"""Who hears of failed jobs and of money spent."""

from __future__ import annotations

from typing import Any

from ocrlabel.aws.names import QUEUE, STACK, TAGS
from ocrlabel.aws.policies import document
from ocrlabel.aws.template.functions import HERE, filled, ref


def alarms() -> dict[str, Any]:
    """A topic, a rule on failed jobs of our queues, and a monthly budget by choice."""
    return {
        "Notices": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"TopicName": f"{STACK}-notices"},
        },
        "NoticesPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {
                "Topics": [ref("Notices")],
                "PolicyDocument": document(
                    [_may_publish("events.amazonaws.com"), _may_publish("budgets.amazonaws.com")]
                ),
            },
        },
        "NoticesEmail": {
            "Type": "AWS::SNS::Subscription",
            "Condition": "HasEmail",
            "Properties": {
                "TopicArn": ref("Notices"),
                "Protocol": "email",
                "Endpoint": ref("NotifyEmail"),
            },
        },
        "FailedJobs": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": f"{STACK}-failed-jobs",
                "Description": "A job of our queues failed for good",
                "State": "ENABLED",
                "EventPattern": {
                    "source": ["aws.batch"],
                    "detail-type": ["Batch Job State Change"],
                    "detail": {
                        "status": ["FAILED"],
                        "jobQueue": [
                            {"prefix": filled(HERE.arn("batch", f"job-queue/{QUEUE}"))},
                        ],
                    },
                },
                "Targets": [{"Id": "notices", "Arn": ref("Notices")}],
            },
        },
        "Budget": {
            "Type": "AWS::Budgets::Budget",
            "Condition": "HasBudget",
            "Properties": {
                "Budget": {
                    "BudgetName": f"{STACK}-monthly",
                    "BudgetType": "COST",
                    "TimeUnit": "MONTHLY",
                    "BudgetLimit": {"Amount": ref("MonthlyBudgetUsd"), "Unit": "USD"},
                    "CostFilters": {"TagKeyValue": [f"user:Project${TAGS['Project']}"]},
                },
                "NotificationsWithSubscribers": [
                    {
                        "Notification": {
                            "NotificationType": "ACTUAL",
                            "ComparisonOperator": "GREATER_THAN",
                            "Threshold": 80,
                        },
                        "Subscribers": [{"SubscriptionType": "SNS", "Address": ref("Notices")}],
                    }
                ],
            },
        },
    }


def _may_publish(service: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sns:Publish",
        "Resource": ref("Notices"),
        "Condition": {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
    }
