"""What a call needs to be allowed: actions, resources, and what conditions can look at, after AWS's Service Authorization
Reference. Nothing is refused here; it is noted, for a test to compare with the policies of whoever calls."""

from moto.core import DEFAULT_ACCOUNT_ID

# Which action each part of a transaction is.
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
              "Get": "GetItem"}
# Batches, which are allowed like what they are made of.
BATCHES = {"SendMessageBatch": "SendMessage", "DeleteMessageBatch": "DeleteMessage",
           "ChangeMessageVisibilityBatch": "ChangeMessageVisibility"}


def needed(service, action, params, region, definition):
    """Returns tuples of action, resource and context; `definition` returns a task definition by its name."""
    arn = lambda resource: f"arn:aws:{service}:{region}:{DEFAULT_ACCOUNT_ID}:{resource}"
    if service == "dynamodb":
        return [(f"dynamodb:{name}", arn(f"table/{table}"), {}) for name, table in _tables(action, params)]
    if service == "sqs":
        queue = params.get("QueueUrl", "").rpartition("/")[2]
        return [(f"sqs:{BATCHES.get(action, action)}", arn(queue), {})]
    if service == "ssm":
        names = params.get("Names") or [params.get("Name", "")]
        return [(f"ssm:{action}", arn(f"parameter/{name.removeprefix('/')}"), {}) for name in names]
    return _ecs(action, params, arn, definition)


def _tables(action, params):
    if action in ("TransactWriteItems", "TransactGetItems"):
        parts = [part for item in params["TransactItems"] for part in item.items()]
        return [(TRANSACTED[kind], part["TableName"]) for kind, part in parts]
    if action in ("BatchGetItem", "BatchWriteItem"):
        return [(action, table) for table in params["RequestItems"]]
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    return [(action, params.get("TableName", "") + index)]


def _ecs(action, params, arn, definition):
    cluster = params.get("cluster", "default").rpartition("/")[2]
    here = {"ecs:cluster": arn(f"cluster/{cluster}")}
    tasks = arn(f"task/{cluster}/*")  # which one, nobody knows before
    if action == "ListTasks":
        return [("ecs:ListTasks", "*", here)]
    if action in ("DescribeTasks", "StopTask"):
        return [(f"ecs:{action}", tasks, here)]
    if action != "RunTask":
        return [(f"ecs:{action}", "*", {})]
    family = params["taskDefinition"].rpartition("/")[2]
    all_ = [("ecs:RunTask", arn(f"task-definition/{family}"), here)]
    if params.get("tags"):
        all_.append(("ecs:TagResource", tasks, {"ecs:CreateAction": "RunTask"}))
    found = definition(params["taskDefinition"])
    roles = {found[name] for name in ("taskRoleArn", "executionRoleArn") if found.get(name)}
    to_tasks = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    return all_ + [("iam:PassRole", role, to_tasks) for role in roles]
