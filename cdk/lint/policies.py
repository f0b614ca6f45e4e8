"""Lints every policy of CloudFormation templates with parliament: unknown actions, resources that an action does not take,
conditions that it does not know, malformed ARNs, ways to more rights. Prints what it finds and ends with 1 if it did."""

import json
import sys

import parliament

ACCOUNT, REGION = "111122223333", "eu-central-1"

# What an attribute of ours looks like, by what its name begins with.
ARNS = {
    "WorldsTable": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/worlds",
    "ArchivesBucket": "arn:aws:s3:::archives",
    "FilesFileSystem": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:file-system/fs-0123456789abcdef0",
    "LooksQueue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:looks",
    "LooksDead": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead",
    "TasksCluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/dormouse",
    "TasksTaskRole": f"arn:aws:iam::{ACCOUNT}:role/task",
    "TasksExecutionRole": f"arn:aws:iam::{ACCOUNT}:role/execution",
}
BY_END = {
    "Mount": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0",
    "Logs": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:logs:*",
}

# Findings that stay, and why.
ACCEPTED = {
    ("RESOURCE_STAR", "ecs:ListTasks"): "its only resource are container instances, of which Fargate has none; AWS's own "
    "examples say everything and name the cluster in a condition, as ours does",
}


def arn_of(name):
    """Returns an ARN as the resource with this logical id, or the export of one, would have it."""
    name = name.rpartition(":ExportsOutputFnGetAtt")[2].rpartition(":ExportsOutputRef")[2]
    for start, arn in ARNS.items():
        if name.startswith(start):
            return arn
    for end, arn in BY_END.items():
        if end in name:
            return arn
    raise SystemExit(f"policies.py: nobody has said what the ARN of {name} looks like")


def plain(value):
    """Returns a value of a template without CloudFormation's functions."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Fn::GetAtt"}:
        return arn_of(value["Fn::GetAtt"][0])
    if set(value) == {"Fn::ImportValue"}:
        return arn_of(value["Fn::ImportValue"])
    if set(value) == {"Fn::Join"}:
        separator, parts = value["Fn::Join"]
        return separator.join(plain(parts))
    return {name: plain(one) for name, one in value.items()}


def findings(template):
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::IAM::Policy":
            continue
        policy = json.dumps(plain(resource["Properties"]["PolicyDocument"]))
        for finding in parliament.analyze_policy_string(policy).findings:
            if finding.issue == "RESOURCE_STAR" and all((finding.issue, action) in ACCEPTED for action in finding.detail):
                continue
            yield f"{name}: {finding.issue} {finding.detail} {json.dumps(finding.location)}"


def main(files):
    found = [one for file in files for one in findings(json.load(open(file, encoding="utf-8")))]
    for one in found:
        print(one, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
