"""Rules that the documentation of DynamoDB and SQS states, and that neither their models nor moto enforce."""

import re

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from validation import Refused

EXPRESSIONS = ("ConditionExpression", "FilterExpression", "KeyConditionExpression", "ProjectionExpression",
               "UpdateExpression")
WORD = re.compile(r"[#:]?[A-Za-z_][A-Za-z0-9_]*|[#:][A-Za-z0-9_]+")
# The characters that an SQS message may hold.
MESSAGE = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


def check(service, action, params, region):
    """Raises `Refused` when the request breaks one of the rules."""
    if service == "dynamodb":
        for part in _parts(action, params):
            _check_placeholders(part)
            _check_index_keys(part, region)
            _check_filter(part, region)
    if service == "sqs" and action in ("SendMessage", "SendMessageBatch"):
        for message in params.get("Entries", [params]):
            if not MESSAGE.fullmatch(message["MessageBody"]):
                raise Refused("InvalidMessageContents", "a message has at least one character, and only valid ones")


def _parts(action, params):
    """Returns the requests that a request is made of."""
    if action in ("TransactWriteItems", "TransactGetItems"):
        return [part for item in params["TransactItems"] for part in item.values()]
    return [params]


def _check_placeholders(part):
    used = {word for name in EXPRESSIONS for word in WORD.findall(part.get(name, ""))}
    for member, sign in (("ExpressionAttributeValues", ":"), ("ExpressionAttributeNames", "#")):
        placeholders = {word for word in used if word.startswith(sign)}
        defined = set(part.get(member, {}))
        if placeholders - defined:
            raise _invalid(f"{member} defines no {', '.join(sorted(placeholders - defined))}")
        if defined - placeholders:
            raise _invalid(f"Value provided in {member} unused in expressions: {', '.join(sorted(defined))}")
        if member in part and not defined:
            raise _invalid(f"{member} must not be empty")


def _check_index_keys(part, region):
    table = _table(part, region)
    primary = {one["AttributeName"] for one in table.schema} if table else set()  # moto checks these itself
    types = {one["AttributeName"]: one["AttributeType"] for one in table.attr} if table else {}
    types = {name: kind for name, kind in types.items() if name not in primary}
    for name, value in part.get("Item", {}).items():
        if name in types and types[name] not in value:
            raise _invalid("One or more parameter values were invalid: Type mismatch for Index Key "
                           f"{name} Expected: {types[name]} Actual: {next(iter(value))}")


def _check_filter(part, region):
    table = _table(part, region)
    if not table or "KeyConditionExpression" not in part or "FilterExpression" not in part:
        return
    schema = table.schema
    if "IndexName" in part:
        schema = next((index.schema for index in table.all_indexes() if index.name == part["IndexName"]), [])
    names = part.get("ExpressionAttributeNames", {})
    filtered = {names.get(word, word) for word in WORD.findall(part["FilterExpression"])}
    keys = filtered & {one["AttributeName"] for one in schema}
    if keys:
        raise _invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: "
                       + ", ".join(sorted(keys)))


def _table(part, region):
    name = part.get("TableName", "").rpartition("/")[2]
    return dynamodb_backends[DEFAULT_ACCOUNT_ID][region].tables.get(name)


def _invalid(message):
    return Refused("com.amazon.coral.validate#ValidationException", message)
