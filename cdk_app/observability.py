"""Optional, because it costs: a dashboard of job states, and a budget with a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import ArnFormat, Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATES = ("RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")


class JobDashboard(Construct):
    """Counts of job state changes, and a log of them.

    AWS Batch publishes no metrics of job states. EventBridge counts the events that each of its rules
    matches, so a rule for each state makes a metric without a custom one to pay for.

    Parameters
    ----------
    queue_arns : job queues to watch.
    log_retention : how long the log of state changes is kept.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queue_arns: Sequence[str],
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self, "StateChanges", retention=log_retention, removal_policy=RemovalPolicy.DESTROY
        )
        # The L2 target would write this policy through a custom resource with a function of its own.
        logs.ResourcePolicy(
            self,
            "EventsMayWrite",
            # Such policies belong to the account, and CDK's own name for one says nothing of the stack's.
            resource_policy_name=f"{Aws.STACK_NAME}-job-state-changes",
            policy_statements=[
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("events.amazonaws.com")],
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[log_group.log_group_arn],
                )
            ],
        )
        # Without the ":*" of the construct's own ARN, which is for policies.
        target_arn = Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=log_group.log_group_name,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        counts = [self._count(state, queue_arns=queue_arns, log_group_arn=target_arn) for state in _STATES]
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        dashboard.add_widgets(
            cloudwatch.GraphWidget(title="Jobs entering each state", left=counts, width=24),
            cloudwatch.LogQueryWidget(
                title="Failed jobs and why",
                log_group_names=[log_group.log_group_name],
                query_lines=[
                    "fields @timestamp, detail.jobName, detail.statusReason, detail.container.reason",
                    "filter detail.status = 'FAILED'",
                    "sort @timestamp desc",
                    "limit 50",
                ],
                width=24,
            ),
        )

    def _count(self, state: str, *, queue_arns: Sequence[str], log_group_arn: str) -> cloudwatch.IMetric:
        rule = events.CfnRule(
            self,
            f"Jobs{state.capitalize()}",
            event_pattern={
                "source": ["aws.batch"],
                "detail-type": ["Batch Job State Change"],
                "detail": {"jobQueue": list(queue_arns), "status": [state]},
            },
            targets=[events.CfnRule.TargetProperty(id="Log", arn=log_group_arn)],
        )
        return cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="TriggeredRules",
            dimensions_map={"RuleName": rule.ref},
            statistic="Sum",
            period=Duration.minutes(1),
            label=state,
        )


class MonthlyBudget(Construct):
    """A warning by mail at 80 % of a monthly budget, and when the forecast exceeds it.

    Parameters
    ----------
    limit_usd : the budget of the whole account.
    email : who is warned.
    """

    def __init__(self, scope: Construct, construct_id: str, *, limit_usd: int, email: str) -> None:
        super().__init__(scope, construct_id)
        budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=limit_usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                _warning("ACTUAL", 80, email),
                _warning("FORECASTED", 100, email),
            ],
        )


def _warning(kind: str, percent: int, email: str) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
    return budgets.CfnBudget.NotificationWithSubscribersProperty(
        notification=budgets.CfnBudget.NotificationProperty(
            notification_type=kind,
            comparison_operator="GREATER_THAN",
            threshold=percent,
            threshold_type="PERCENTAGE",
        ),
        subscribers=[budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=email)],
    )
