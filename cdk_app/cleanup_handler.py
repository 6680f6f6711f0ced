"""Deletes, when the stack goes, what CloudFormation cannot: objects, run queues, the pushed image, attachments.

Inlined into the template, because an asset would outlive the stack: standard library and boto3 only.
"""

import json
from contextlib import suppress
from typing import Any
from urllib.request import Request, urlopen

import boto3

SPARE_MS = 30_000  # left for the answer; without one the stack waits


def clean_bucket(props: dict[str, str], context: Any) -> None:
    """Empty a bucket, versions included."""
    client = boto3.client("s3")
    with suppress(client.exceptions.NoSuchBucket):  # deleted by hand
        # Always the first page, because what it had is gone: nothing slips in behind a marker.
        while keys := first_versions(client, props["Bucket"]):
            reply = client.delete_objects(Bucket=props["Bucket"], Delete={"Objects": keys})
            if reply.get("Errors"):
                raise RuntimeError(f"not deleted: {reply['Errors'][0]}")
            check_time(context, "objects in the bucket")


def first_versions(client: Any, bucket: str) -> list[Any]:
    page = client.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]


def clean_queues(props: dict[str, str], context: Any) -> None:
    """Delete queues of runs whose main died."""
    client = boto3.client("sqs")
    pages = client.get_paginator("list_queues").paginate(
        QueueNamePrefix=props["Prefix"], PaginationConfig={"PageSize": 1000}
    )
    for url in [url for page in pages for url in page.get("QueueUrls", [])]:
        with suppress(client.exceptions.QueueDoesNotExist):  # still listed for a minute
            client.delete_queue(QueueUrl=url)
        check_time(context, "queues")


def clean_image(props: dict[str, str], _: Any) -> None:
    """Delete one tag of an image, and the image with its last tag.

    Newer builders push an index; its parts would stay, without a tag and paid for.
    """
    client = boto3.client("ecr")
    repository, tag = props["Repository"], {"imageTag": props["Tag"]}
    with suppress(client.exceptions.RepositoryNotFoundException):
        images = client.batch_get_image(repositoryName=repository, imageIds=[tag])["images"]
        manifests = [json.loads(image["imageManifest"]) for image in images]
        parts = [{"imageDigest": part["digest"]} for one in manifests for part in one.get("manifests", [])]
        delete_images(client, repository, [tag])
        # Another stack's image of the same content has the same parts, and ECR keeps them for it.
        delete_images(client, repository, parts, kept="ImageReferencedByManifestList")


def delete_images(client: Any, repository: str, ids: list[dict[str, str]], kept: str = "") -> None:
    if not ids:
        return
    reply = client.batch_delete_image(repositoryName=repository, imageIds=ids)
    for failure in reply.get("failures", []):
        if failure["failureCode"] not in ("ImageNotFound", kept):
            raise RuntimeError(f"not deleted: {failure}")


def clean_policy(props: dict[str, str], _: Any) -> None:
    """Detach a policy from everybody who has it: IAM deletes none that is attached."""
    client, arn, protected = boto3.client("iam"), props["Policy"], []
    for kind, name in holders(client, arn):
        detach = getattr(client, f"detach_{kind.lower()}_policy")
        try:
            with suppress(client.exceptions.NoSuchEntityException):  # meanwhile, by hand
                detach(PolicyArn=arn, **{f"{kind}Name": name})
        except client.exceptions.UnmodifiableEntityException:  # IAM Identity Center's own roles
            protected.append(name)
    if protected:
        raise RuntimeError(
            f"{arn} is attached to {', '.join(protected)}: remove the policy from the permission set in IAM"
            " Identity Center, then run `cdk destroy` again"
        )


def holders(client: Any, arn: str) -> list[tuple[str, str]]:
    found = []
    with suppress(client.exceptions.NoSuchEntityException):  # deleted by hand
        for page in client.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn):
            for kind in ("User", "Group", "Role"):
                found += [(kind, one[f"{kind}Name"]) for one in page.get(f"Policy{kind}s", [])]
    return found


def check_time(context: Any, what: str) -> None:
    """Stop while there is time to say so."""
    if context.get_remaining_time_in_millis() < SPARE_MS:
        raise TimeoutError(f"there are still {what}: run `cdk destroy` again, it goes on from here")


KINDS = {  # what deletes it, and the property that says which
    "bucket": (clean_bucket, "Bucket"),
    "queues": (clean_queues, "Prefix"),
    "image": (clean_image, "Tag"),
    "policy": (clean_policy, "Policy"),
}


def handler(event: dict[str, Any], context: Any) -> None:
    """Answer one request of CloudFormation."""
    props = event["ResourceProperties"]
    clean, subject = KINDS[props["Kind"]]
    # A new subject is a new id: after an update CloudFormation has the old one deleted.
    answer = {"PhysicalResourceId": f"{props['Kind']}/{props[subject]}", "Status": "SUCCESS"}
    if event["RequestType"] == "Delete":
        answer["PhysicalResourceId"] = event["PhysicalResourceId"]
        try:
            clean(props, context)
        except Exception as error:  # noqa: BLE001 - unanswered, the stack would wait
            answer |= {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"}
    answer |= {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    print(answer)  # noqa: T201 - to the log
    request = Request(event["ResponseURL"], json.dumps(answer).encode(), {"Content-Type": ""}, method="PUT")  # noqa: S310
    urlopen(request, timeout=30).close()  # noqa: S310 - the address is CloudFormation's  # nosec B310
