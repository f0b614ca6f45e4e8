"""Checks every request against botocore's model of the service, as the service itself would, before anything happens.

`botocore.validate` knows required and unknown members, types and minima. What the model says beyond that (maxima,
enumerations, patterns) is checked here. Rules that only the documentation knows stand with the service, see `ecs.py`.
"""

import re

import botocore.session
from botocore.validate import ParamValidator

SERVICES = ("ecs", "sqs", "dynamodb", "ssm")

# The error that each service documents for parameters that it does not accept.
REFUSAL = {
    "ecs": "InvalidParameterException",
    "sqs": "InvalidParameterValue",
    "dynamodb": "com.amazon.coral.validate#ValidationException",
    "ssm": "ValidationException",
}

_session = botocore.session.get_session()
_models = {name: _session.get_service_model(name) for name in SERVICES}
_targets = {model.metadata["targetPrefix"]: name for name, model in _models.items()}


class Refused(Exception):
    """The service's answer to a request that it does not accept."""

    def __init__(self, code, message, status=400, **members):
        super().__init__(message)
        self.code, self.message, self.status, self.members = code, message, status, members


def service_of(target):
    """Returns service and action of an `X-Amz-Target` header; the service is None when it is not one of ours."""
    prefix, _, action = target.rpartition(".")
    return _targets.get(prefix), action


def check_action(service, action):
    """Raises `Refused` unless the service has the action."""
    if action not in _models[service].operation_names:
        raise Refused("UnknownOperationException", f"there is no action {action}")


def check(service, action, params):
    """Raises `Refused` unless `params` are such as the model of the service allows."""
    check_action(service, action)
    shape = _models[service].operation_model(action).input_shape
    if shape is None:
        return
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        raise Refused(REFUSAL[service], report.generate_report())
    faults = list(_faults(shape, params, ""))
    if faults:
        raise Refused(REFUSAL[service], "; ".join(faults[:10]))


def _faults(shape, value, where):
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _faults(shape.members[name], member, f"{where}.{name}")
    elif shape.type_name == "list":
        yield from _too_large(shape, len(value), where)
        for index, member in enumerate(value):
            yield from _faults(shape.member, member, f"{where}[{index}]")
    elif shape.type_name == "map":
        yield from _too_large(shape, len(value), where)
        for name, member in value.items():
            yield from _faults(shape.key, name, f"{where}.{name}")
            yield from _faults(shape.value, member, f"{where}.{name}")
    elif shape.type_name == "string":
        yield from _too_large(shape, len(value), where)
        enum, pattern = shape.metadata.get("enum"), shape.metadata.get("pattern")
        if enum and value not in enum:
            yield f"{where}: `{value}` must be one of {', '.join(enum)}"
        if pattern and not _matches(pattern, value):
            yield f"{where}: `{value}` must match {pattern}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _too_large(shape, value, where)


def _too_large(shape, size, where):
    most = shape.metadata.get("max")
    if most is not None and size > most:
        yield f"{where}: {size} is more than {most}"


def _matches(pattern, value):
    # The models hold Java's regular expressions. The few that Python cannot read are not checked.
    try:
        return re.search(f"^(?:{pattern})$", value) is not None
    except re.error:
        return True
