from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack

STATES = {"RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"}


def rules(stack: Stack) -> dict[str, Any]:
    return {
        resource["Properties"]["EventPattern"]["detail"]["status"][0]: (name, resource["Properties"])
        for name, resource in stack.of_type("AWS::Events::Rule").items()
    }


def test_off_by_default(default: Stack) -> None:
    for kind in ("AWS::CloudWatch::Dashboard", "AWS::Events::Rule", "AWS::Budgets::Budget"):
        assert not default.of_type(kind)


def test_each_state_of_a_job_is_counted(everything: Stack) -> None:
    assert set(rules(everything)) == STATES


def test_only_the_stacks_queues_are_counted(everything: Stack) -> None:
    queues = [{"Fn::GetAtt": [name, "JobQueueArn"]} for name in everything.of_type("AWS::Batch::JobQueue")]
    for _, properties in rules(everything).values():
        assert properties["EventPattern"]["source"] == ["aws.batch"]
        assert properties["EventPattern"]["detail-type"] == ["Batch Job State Change"]
        assert sorted(properties["EventPattern"]["detail"]["jobQueue"], key=str) == sorted(queues, key=str)


def test_dashboard_shows_the_count_of_every_rule(everything: Stack) -> None:
    body = everything.value(everything.only("AWS::CloudWatch::Dashboard")["DashboardBody"])
    graph, table = json.loads(body)["widgets"]
    shown = {(metric[1], metric[3]) for metric in graph["properties"]["metrics"]}
    assert shown == {("TriggeredRules", name.lower()) for name, _ in rules(everything).values()}
    assert {metric[4]["stat"] for metric in graph["properties"]["metrics"]} == {"Sum"}
    assert "statusReason" in table["properties"]["query"]


def test_state_changes_are_logged_where_events_may_write(everything: Stack) -> None:
    name, _ = everything.named("AWS::Logs::LogGroup", "JobDashboard/")
    arn = everything.value({"Fn::GetAtt": [name, "Arn"]})
    for _, properties in rules(everything).values():
        assert everything.value(properties["Targets"]) == [{"Id": "Log", "Arn": arn.removesuffix(":*")}]
    policy = everything.only("AWS::Logs::ResourcePolicy")["PolicyDocument"]
    (statement,) = json.loads(everything.value(policy))["Statement"]
    assert statement["Resource"] == arn
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}


def test_budget_warns_at_80_percent_and_by_forecast(everything: Stack) -> None:
    budget = everything.only("AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 100, "Unit": "USD"}
    assert budget["Budget"]["TimeUnit"] == "MONTHLY"
    warned = {
        (item["Notification"]["NotificationType"], item["Notification"]["Threshold"])
        for item in budget["NotificationsWithSubscribers"]
    }
    assert warned == {("ACTUAL", 80), ("FORECASTED", 100)}


def test_budget_warns_by_mail(everything: Stack) -> None:
    for item in everything.only("AWS::Budgets::Budget")["NotificationsWithSubscribers"]:
        assert item["Subscribers"] == [{"SubscriptionType": "EMAIL", "Address": "someone@example.org"}]
