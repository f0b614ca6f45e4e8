"""Tasks as ECS runs them on Fargate: RunTask, StopTask, DescribeTasks and ListTasks.

moto keeps clusters and task definitions; nothing of its tasks is used. The rules are those of the Amazon ECS API
reference, of its page "Ensuring idempotency" and of the developer guide's "Task lifecycle"; where they are silent, the
stricter reading is taken. States follow a clock, or, with a spool directory, what a stand-in of Fargate writes there.
"""

import hashlib
import json
import os
import random
import re
import string
import threading
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import ServiceException
from moto.ecs.models import ecs_backends
from validation import Refused

STAGES = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"]
RANK = {stage: rank for rank, stage in enumerate(STAGES)}
STOP_CODES = ["TaskFailedToStart", "EssentialContainerExited", "UserInitiated", "ServiceSchedulerInitiated",
              "SpotInterruption", "TerminationNotice"]

# "Stopped tasks appear in the returned results for at least one hour"; a client token is good for 24 hours, or until
# one hour after its task stopped, whichever is sooner.
REMEMBERED_S = 3600
TOKEN_S = 24 * 3600
TICK_S = 0.01
MOST_PER_DESCRIBE = 100
MOST_OVERRIDES_CHARS = 8192
MOST_STATUS_BYTES = 64 * 1024
MOST_TASKS = 10_000

# What RunTask accepts of Fargate's sizes: CPU units to MiB, from the developer guide.
FARGATE_SIZES = {
    "256": [512, 1024, 2048],
    "512": range(1024, 4096 + 1, 1024),
    "1024": range(2048, 8192 + 1, 1024),
    "2048": range(4096, 16384 + 1, 1024),
    "4096": range(8192, 30720 + 1, 1024),
    "8192": range(16384, 61440 + 1, 4096),
    "16384": range(32768, 122880 + 1, 8192),
}


def invalid(message):
    return Refused("InvalidParameterException", message)


def client_error(message):
    return Refused("ClientException", message)


class Task:
    """One task, from RunTask until it is forgotten."""

    def __init__(self, arn, cluster_arn, definition, request, capacity_provider, tags, spool, now):
        self.arn, self.cluster_arn, self.definition, self.tags = arn, cluster_arn, definition, tags
        self.id = arn.rpartition("/")[2]
        self.request = request
        self.capacity_provider = capacity_provider
        self.group = request.get("group", f"family:{definition['family']}")
        self.last, self.desired = "PROVISIONING", "RUNNING"
        self.stop_code = self.stopped_reason = None
        self.exit_codes = {}
        self.times = {"createdAt": now}
        self.changed = now
        self.version = 1
        self.private_ip = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(4, 255)}"
        self.interface = uuid.uuid4().hex[:17]
        self.containers = [self._container(one) for one in definition["containerDefinitions"]]
        self.spool = spool and Path(spool) / self.id
        self.spool_read = None

    def _container(self, definition):
        return {
            "containerArn": f"{self.arn.replace(':task/', ':container/')}/{uuid.uuid4()}",
            "taskArn": self.arn, "name": definition["name"], "image": definition["image"], "lastStatus": "PENDING",
            "networkInterfaces": [], "healthStatus": "UNKNOWN", "cpu": str(definition.get("cpu", 0)),
            **({"memory": str(definition["memory"])} if "memory" in definition else {}),
        }

    def ever_ran(self):
        return "startedAt" in self.times

    def view(self, include_tags):
        """Returns the task as DescribeTasks does."""
        definition = self.definition
        view = {
            "taskArn": self.arn, "clusterArn": self.cluster_arn, "taskDefinitionArn": definition["taskDefinitionArn"],
            "lastStatus": self.last, "desiredStatus": self.desired, "containers": self.containers,
            "attachments": self._attachments(), "attributes": [], "availabilityZone": "us-east-1a",
            "connectivity": "CONNECTED", "enableExecuteCommand": self.request.get("enableExecuteCommand", False),
            "group": self.group, "healthStatus": self._health(), "inferenceAccelerators": [],
            "launchType": "FARGATE", "platformFamily": "Linux",
            "platformVersion": self.request.get("platformVersion", "1.4.0").replace("LATEST", "1.4.0"),
            "overrides": {"inferenceAcceleratorOverrides": [], "containerOverrides": [],
                          **self.request.get("overrides", {})},
            "ephemeralStorage": definition.get("ephemeralStorage") or {"sizeInGiB": 20},
            "tags": self.tags if include_tags else [], "version": self.version, **self.times,
        }
        optional = {
            "capacityProviderName": self.capacity_provider, "startedBy": self.request.get("startedBy"),
            "stopCode": self.stop_code, "stoppedReason": self.stopped_reason,
            "cpu": self.request.get("overrides", {}).get("cpu", definition.get("cpu")),
            "memory": self.request.get("overrides", {}).get("memory", definition.get("memory")),
        }
        view.update({name: value for name, value in optional.items() if value is not None})
        return json.loads(json.dumps(view))

    def _health(self):
        states = {container["healthStatus"] for container in self.containers}
        return "UNHEALTHY" if "UNHEALTHY" in states else "UNKNOWN" if "UNKNOWN" in states else "HEALTHY"

    def _attachments(self):
        network = self.request.get("networkConfiguration")
        if not network:
            return []
        details = [{"name": "subnetId", "value": network["awsvpcConfiguration"]["subnets"][0]}]
        if self.last != "PROVISIONING":
            details += [{"name": "networkInterfaceId", "value": f"eni-{self.interface}"},
                        {"name": "privateIPv4Address", "value": self.private_ip}]
        status = {"PROVISIONING": "PRECREATED", "DEPROVISIONING": "DETACHING", "STOPPED": "DELETED"}
        return [{"id": str(uuid.UUID(int=int(self.id, 16))), "type": "ElasticNetworkInterface",
                 "status": status.get(self.last, "ATTACHED"), "details": details}]


class Ecs:
    """All tasks of the account, their clock and their events."""

    def __init__(self, deliver):
        """`deliver(region, queue, text)` puts an event into a queue."""
        self.deliver = deliver
        self.lock = threading.RLock()
        self.tasks = {}    # by ARN; those that ECS still remembers
        self.tokens = {}   # (cluster ARN, client token) -> (parameters, tasks, when)
        self.pages = {}    # nextToken -> the ARNs that are left
        self.spool = os.environ.get("DORMOUSE_FARGATE_DIR")
        self.rule = json.loads(os.environ.get("DORMOUSE_TASK_EVENTS_RULE", "{}"))
        self.settings = {
            "stage_ms": int(os.environ.get("DORMOUSE_ECS_STAGE_MS", "50")),
            "visible_after_ms": 0,
            "events_queue": os.environ.get("DORMOUSE_TASK_EVENTS_QUEUE"),
            "events_twice": False,
        }
        threading.Thread(target=self._run, daemon=True).start()

    # ---- the API ----

    def actions(self):
        return {"RunTask": self.run_task, "StopTask": self.stop_task,
                "DescribeTasks": self.describe_tasks, "ListTasks": self.list_tasks}

    def run_task(self, region, params):
        with self.lock:
            cluster = self._cluster(region, params)
            _check_token(params.get("clientToken"))
            token = (cluster.arn, params.get("clientToken"))
            same = {name: value for name, value in params.items() if name != "clientToken"}
            if token[1] and token in self.tokens:
                before, tasks, _ = self.tokens[token]
                if before != same:
                    raise Refused("ConflictException", "The client token is in use with other parameters.",
                                  resourceIds=[task.arn for task in tasks])
                return {"tasks": [task.view(include_tags=True) for task in tasks], "failures": []}
            definition, definition_tags = definition_of(region, params["taskDefinition"])
            provider = _check_run(params, definition, cluster)
            tags = list(params.get("tags", []))
            if params.get("propagateTags") == "TASK_DEFINITION":
                tags += [tag for tag in definition_tags if tag["key"] not in {own["key"] for own in tags}]
            count = params.get("count", 1)
            if len(self.tasks) + count > MOST_TASKS:
                raise client_error("the emulator holds no more tasks")
            tasks = [self._start(cluster, definition, params, provider, tags) for _ in range(count)]
            if token[1]:
                self.tokens[token] = (same, tasks, time.time())
            return {"tasks": [task.view(include_tags=True) for task in tasks], "failures": []}

    def stop_task(self, region, params):
        with self.lock:
            cluster = self._cluster(region, params)
            if len(params.get("reason", "")) > 255:
                raise invalid("reason must be at most 255 characters")
            task = self.tasks.get(_task_arn(cluster.arn, params["task"]))
            if task is None:
                raise invalid("The referenced task was not found.")
            self._end(task, "UserInitiated", params.get("reason", "Task stopped by user"))
            return {"task": task.view(include_tags=False)}

    def describe_tasks(self, region, params):
        with self.lock:
            cluster = self._cluster(region, params)
            wanted = params["tasks"]
            if not 1 <= len(wanted) <= MOST_PER_DESCRIBE:
                raise invalid(f"between 1 and {MOST_PER_DESCRIBE} tasks must be named")
            tasks, failures = [], []
            for arn in dict.fromkeys(_task_arn(cluster.arn, one) for one in wanted):
                task = self.tasks.get(arn)
                if task and self._visible(task):
                    tasks.append(task.view("TAGS" in params.get("include", [])))
                else:
                    failures.append({"arn": arn, "reason": "MISSING"})
            return {"tasks": tasks, "failures": failures}

    def list_tasks(self, region, params):
        with self.lock:
            cluster = self._cluster(region, params)
            most = params.get("maxResults", 100)
            if not 1 <= most <= 100:
                raise invalid("maxResults must be between 1 and 100")
            if "startedBy" in params and {"family", "serviceName", "containerInstance"} & params.keys():
                raise invalid("startedBy must be the only filter")
            if "nextToken" in params:
                arns = self.pages.pop(params["nextToken"], None)
                if arns is None:
                    raise invalid("Invalid token")
            else:
                arns = [task.arn for task in self.tasks.values() if self._listed(task, cluster, params)]
                arns.sort(key=lambda arn: hashlib.sha256(arn.encode()).digest())  # in no order that means anything
            page, rest = arns[:most], arns[most:]
            answer = {"taskArns": page}
            if rest:
                answer["nextToken"] = uuid.uuid4().hex
                self.pages[answer["nextToken"]] = rest
            return answer

    def _listed(self, task, cluster, params):
        return (task.cluster_arn == cluster.arn
                and task.desired == params.get("desiredStatus", "RUNNING")
                and params.get("family", task.definition["family"]) == task.definition["family"]
                and params.get("startedBy", task.request.get("startedBy")) == task.request.get("startedBy")
                and params.get("launchType", "FARGATE") == "FARGATE"
                and not {"serviceName", "containerInstance", "daemonName"} & params.keys()
                and self._visible(task))

    def _visible(self, task):
        return time.time() - task.times["createdAt"] >= self.settings["visible_after_ms"] / 1000

    def _cluster(self, region, params):
        name = params.get("cluster", "default").rpartition("/")[2]
        cluster = ecs_backends[DEFAULT_ACCOUNT_ID][region].clusters.get(name)
        if cluster is None or cluster.status != "ACTIVE":
            raise Refused("ClusterNotFoundException", "Cluster not found.")
        return cluster

    # ---- what tests may do ----

    def end(self, wanted, stop_code, reason, exit_codes):
        """Ends a task as something other than StopTask would."""
        with self.lock:
            task = self._find(wanted)
            if stop_code not in STOP_CODES:
                raise invalid(f"stopCode must be one of {', '.join(STOP_CODES)}")
            if stop_code == "TaskFailedToStart" and task.ever_ran():
                raise invalid("the task has run: it cannot fail to start")
            unknown = set(exit_codes) - {container["name"] for container in task.containers}
            if unknown:
                raise invalid(f"no such container: {', '.join(sorted(unknown))}")
            task.exit_codes = exit_codes
            self._end(task, stop_code, reason)

    def forget(self, wanted):
        """Forgets stopped tasks, one or all, as ECS does an hour after they stopped."""
        with self.lock:
            chosen = [self._find(wanted)] if wanted else list(self.tasks.values())
            self._forget([task for task in chosen if task.last == "STOPPED"])

    def _find(self, wanted):
        for task in self.tasks.values():
            if wanted in (task.arn, task.id):
                return task
        raise invalid("no such task")

    # ---- the life of a task ----

    def _start(self, cluster, definition, params, provider, tags):
        arn = f"{cluster.arn.replace(':cluster/', ':task/')}/{uuid.uuid4().hex}"
        task = Task(arn, cluster.arn, definition, params, provider, tags, self.spool, time.time())
        if task.spool:
            task.spool.mkdir(parents=True)
            _write(task.spool / "task.json", {
                "taskArn": arn, "clusterArn": cluster.arn, "family": definition["family"],
                "revision": definition["revision"], "taskDefinition": definition,
                "overrides": params.get("overrides", {}), "startedBy": params.get("startedBy"), "tags": tags,
                "launchType": "FARGATE", "capacityProviderName": provider,
                "networkConfiguration": params.get("networkConfiguration"), "group": task.group,
            })
        self.tasks[arn] = task
        self._emit(task)
        return task

    def _end(self, task, stop_code, reason, tell=True):
        if task.desired == "STOPPED":
            return
        task.desired, task.stop_code, task.stopped_reason = "STOPPED", stop_code, reason
        task.times["stoppingAt"] = task.changed = time.time()
        task.version += 1
        if task.spool and tell:
            _write(task.spool / "stop.json", {"reason": reason, "stopCode": stop_code})
        self._emit(task)

    def _run(self):
        while True:
            time.sleep(TICK_S)
            with self.lock:
                for task in list(self.tasks.values()):
                    try:
                        self._advance(task)
                    except Exception as error:  # one broken task must not stop the clock of the others
                        print(f"task {task.arn}: {error!r}", flush=True)
                now = time.time()
                self._forget([task for task in self.tasks.values()
                              if task.last == "STOPPED" and now - task.times["stoppedAt"] > REMEMBERED_S])

    def _forget(self, tasks):
        now = time.time()
        for task in tasks:
            del self.tasks[task.arn]
        self.tokens = {token: held for token, held in self.tokens.items()
                       if now - held[2] < TOKEN_S and any(task.arn in self.tasks for task in held[1])}

    def _advance(self, task):
        if task.last == "STOPPED":
            return
        if task.spool:
            self._follow(task)
        elif time.time() - task.changed >= self.settings["stage_ms"] / 1000:
            following = self._next(task)
            if following:
                self._enter(task, following)

    def _next(self, task):
        if task.desired == "RUNNING":
            return STAGES[RANK[task.last] + 1] if RANK[task.last] < RANK["RUNNING"] else None
        if not task.ever_ran() and RANK[task.last] < RANK["DEPROVISIONING"]:
            return "DEPROVISIONING"
        return STAGES[RANK[task.last] + 1]

    def _enter(self, task, stage):
        now = time.time()
        task.last, task.changed = stage, now
        task.version += 1
        if stage == "PENDING":
            task.times["connectivityAt"] = task.times["pullStartedAt"] = now
        elif stage == "ACTIVATING":
            task.times["pullStoppedAt"] = now
        elif stage == "RUNNING":
            task.times["startedAt"] = now
        elif stage == "DEPROVISIONING":
            task.times["executionStoppedAt"] = now
        elif stage == "STOPPED":
            task.times["stoppedAt"] = now
        if not task.spool:
            self._containers_by_clock(task)
        if stage != "PROVISIONING":
            for container in task.containers:
                container["networkInterfaces"] = [
                    {"attachmentId": task.interface, "privateIpv4Address": task.private_ip}]
        self._emit(task)

    def _containers_by_clock(self, task):
        for container in task.containers:
            if task.last == "RUNNING":
                container["lastStatus"] = "RUNNING"
                definition = next(d for d in task.definition["containerDefinitions"] if d["name"] == container["name"])
                container["healthStatus"] = "HEALTHY" if definition.get("healthCheck") else "UNKNOWN"
            elif RANK[task.last] >= RANK["DEPROVISIONING"]:
                container["lastStatus"] = "STOPPED"
                if task.ever_ran():
                    # Unless a test said otherwise, programs end by the SIGTERM that they are sent.
                    container["exitCode"] = task.exit_codes.get(container["name"], 143)

    def _follow(self, task):
        """Takes over what the stand-in of Fargate says, as far as a task can go that way."""
        try:
            text = (task.spool / "status.json").read_text()
        except FileNotFoundError:
            return
        if text == task.spool_read or len(text) > MOST_STATUS_BYTES:
            return
        task.spool_read = text
        status = json.loads(text)
        before = json.dumps(task.containers)
        by_name = {container["name"]: container for container in task.containers}
        for said in status.get("containers", []):
            said = {name: said[name] for name in ("name", "lastStatus", "exitCode", "reason", "healthStatus")
                    if said.get(name) is not None}
            by_name[said["name"]].update(said)
        if status.get("privateIp"):
            task.private_ip = status["privateIp"]
        if RANK[status["lastStatus"]] >= RANK["DEACTIVATING"] and task.desired == "RUNNING":
            self._end(task, status.get("stopCode") or "EssentialContainerExited",
                      status.get("stoppedReason") or "Essential container in task exited", tell=False)
        if RANK[status["lastStatus"]] > RANK[task.last]:
            self._enter(task, status["lastStatus"])
        elif json.dumps(task.containers) != before:
            task.version += 1
            self._emit(task)

    # ---- events ----

    def _emit(self, task):
        """Puts the event that EventBridge would deliver into the queue: at least once, so perhaps twice."""
        queue = self.settings["events_queue"]
        if not queue:
            return
        region = task.arn.split(":")[3]
        detail = task.view(include_tags=False)
        del detail["tags"]
        detail = {name: _iso(value) if name in task.times else value for name, value in detail.items()}
        detail["updatedAt"] = _iso(time.time())
        event = {"version": "0", "id": str(uuid.uuid4()), "detail-type": "ECS Task State Change",
                 "source": "aws.ecs", "account": DEFAULT_ACCOUNT_ID, "time": _iso(time.time())[:19] + "Z",
                 "region": region, "resources": [task.arn], "detail": detail}
        if not _matches(self.rule, event):
            return
        try:
            for _ in range(2 if self.settings["events_twice"] else 1):
                self.deliver(region, queue, json.dumps(event))
        except ServiceException as error:  # EventBridge drops what its target does not take
            print(f"event of {task.arn} dropped: {error!r}", flush=True)


def _matches(pattern, value):
    """Tells whether a value is as an event pattern of EventBridge says; of its operators only `prefix` is known."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(_matches(inner, value.get(name)) for name, inner in pattern.items())
    return any(_is_one(wanted, value) for wanted in pattern)


def _is_one(wanted, value):
    if not isinstance(wanted, dict):
        return wanted == value
    if set(wanted) != {"prefix"}:
        raise ValueError(f"the emulator knows no pattern {wanted}")
    return isinstance(value, str) and value.startswith(wanted["prefix"])


# ---- what RunTask accepts ----


def _check_token(token):
    if token is not None and not (1 <= len(token) <= 64 and all(33 <= ord(char) <= 126 for char in token)):
        raise invalid("clientToken must be up to 64 ASCII characters between 33 and 126")


def _check_run(params, definition, cluster):
    """Returns the capacity provider that a task with these parameters runs on, or raises what ECS answers."""
    if not 1 <= params.get("count", 1) <= 10:
        raise invalid("count must be between 1 and 10")
    if not re.fullmatch(r"[A-Za-z0-9_/-]{0,128}", params.get("startedBy", "")):
        raise invalid("startedBy must be up to 128 letters, digits, hyphens, slashes and underscores")
    _check_tags(params.get("tags", []))
    if params.get("propagateTags") == "SERVICE":
        raise invalid("propagateTags SERVICE is for services")
    _check_network(params.get("networkConfiguration"), definition)
    _check_overrides(params.get("overrides", {}), definition)
    return _capacity(params, definition, cluster)


def _check_tags(tags):
    keys = [tag.get("key", "") for tag in tags]
    if len(tags) > 50 or len(keys) != len(set(keys)):
        raise invalid("at most 50 tags, and no key twice")
    for tag in tags:
        key, value = tag.get("key", ""), tag.get("value", "")
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise invalid(f"tag `{key}`: a key has 1 to 128 characters and no prefix aws:, a value at most 256")
        allowed = string.ascii_letters + string.digits + "+-=._:/@ "
        if not all(char in allowed or char.isalpha() for char in key + value):
            raise invalid(f"tag `{key}` holds a character that tags do not allow")


def _check_network(network, definition):
    if definition["networkMode"] != "awsvpc":
        if network:
            raise invalid("Network Configuration is not valid for the given networkMode of this task definition.")
        return
    if not network or "awsvpcConfiguration" not in network:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    awsvpc = network["awsvpcConfiguration"]
    if not 1 <= len(awsvpc["subnets"]) <= 16:
        raise invalid("subnets must number 1 to 16")
    if len(awsvpc.get("securityGroups", [])) > 5:
        raise invalid("securityGroups must number at most 5")


def _check_overrides(overrides, definition):
    names = {container["name"] for container in definition["containerDefinitions"]}
    for override in overrides.get("containerOverrides", []):
        if override.get("name") not in names:
            raise invalid(f"Override for container named {override.get('name')} is not a container in the "
                          "TaskDefinition.")
    if len(json.dumps(overrides, separators=(",", ":"))) > MOST_OVERRIDES_CHARS:
        raise invalid(f"Container Overrides length must be at most {MOST_OVERRIDES_CHARS}")


def _capacity(params, definition, cluster):
    strategy = params.get("capacityProviderStrategy")
    if strategy and "launchType" in params:
        raise invalid("Specifying both a launch type and capacity provider strategy is not supported. "
                      "Remove one and try again.")
    if not strategy and "launchType" not in params:
        strategy = cluster.default_capacity_provider_strategy
    provider = None
    if strategy:
        missing = {item["capacityProvider"] for item in strategy} - set(cluster.capacity_providers or [])
        if missing:
            raise invalid("The specified capacity provider strategy cannot contain a capacity provider that is not "
                          "associated with the cluster.")
        chosen = sorted(strategy, key=lambda item: (-item.get("base", 0), -item.get("weight", 0)))[0]
        if not (chosen.get("base", 0) or chosen.get("weight", 0)):
            raise invalid("at least one capacity provider must have a weight above 0")
        provider = chosen["capacityProvider"]
    if provider not in ("FARGATE", "FARGATE_SPOT") and params.get("launchType") != "FARGATE":
        raise invalid("No Container Instances were found in your cluster.")
    if "FARGATE" not in (definition.get("requiresCompatibilities") or []):
        raise invalid("Task definition does not support launch_type FARGATE.")
    return provider


def definition_of(region, wanted):
    """Returns the task definition of that name, and its tags."""
    backend = ecs_backends[DEFAULT_ACCOUNT_ID][region]
    name = wanted.rpartition("/")[2]
    family, _, revision = name.partition(":")
    revisions = backend.task_definitions.get(family, {})
    active = [one.revision for one in revisions.values() if one.status == "ACTIVE"]
    number = int(revision) if revision.isdigit() else max(active, default=0) if not revision else 0
    found = revisions.get(number)
    if found is None:
        raise client_error("TaskDefinition not found.")
    if number not in active:
        raise client_error("TaskDefinition is inactive")
    return _as_dict(found), backend.list_tags_for_resource(found.arn) or []


def _as_dict(found):
    names = {
        "taskRoleArn": "task_role_arn", "executionRoleArn": "execution_role_arn", "cpu": "cpu", "memory": "memory",
        "networkMode": "network_mode", "pidMode": "pid_mode", "ipcMode": "ipc_mode", "volumes": "volumes",
        "runtimePlatform": "runtime_platform", "requiresCompatibilities": "requires_compatibilities",
        "ephemeralStorage": "ephemeral_storage", "containerDefinitions": "container_definitions",
    }
    definition = {"taskDefinitionArn": found.arn, "family": found.family, "revision": found.revision}
    for name, attribute in names.items():
        value = getattr(found, attribute, None)
        if value is not None:
            definition[name] = value
    return json.loads(json.dumps(definition))


def check_definition(params):
    """Checks of RegisterTaskDefinition what moto does not: what Fargate asks of a task definition."""
    containers = params["containerDefinitions"]
    names = [container.get("name") for container in containers]
    if not 1 <= len(containers) <= 10 or len(names) != len(set(names)):
        raise client_error("a task definition has 1 to 10 containers with names of their own")
    if not any(container.get("essential", True) for container in containers):
        raise client_error("At least one container must be essential.")
    by_name = dict(zip(names, containers))
    for container in containers:
        for needed in container.get("dependsOn", []):
            if needed["containerName"] not in by_name:
                raise client_error(f"container {container['name']} depends on {needed['containerName']}, "
                                   "which is not defined")
            if needed["condition"] == "HEALTHY" and not by_name[needed["containerName"]].get("healthCheck"):
                raise client_error(f"container {needed['containerName']} needs a health check, for "
                                   f"{container['name']} depends on it")
    if "FARGATE" in params.get("requiresCompatibilities", []):
        _check_fargate(params)


def _check_fargate(params):
    if params.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode 'awsvpc'.")
    for size in ("cpu", "memory"):
        if size not in params:
            raise client_error(f"Fargate requires that '{size}' be defined at the task level.")
    memory = params["memory"]
    if not memory.isdigit() or int(memory) not in FARGATE_SIZES.get(params["cpu"], []):
        raise client_error("No Fargate configuration exists for given values.")
    for container in params["containerDefinitions"]:
        if container.get("stopTimeout", 0) > 120:
            raise client_error("stopTimeout is at most 120 seconds on Fargate")
        if container.get("privileged"):
            raise client_error("Fargate does not support privileged containers")
        added = container.get("linuxParameters", {}).get("capabilities", {}).get("add", [])
        if set(added) - {"SYS_PTRACE"}:
            raise client_error("on Fargate only SYS_PTRACE can be added to the capabilities")


def _task_arn(cluster_arn, wanted):
    """Returns the ARN of a task that was named by its ARN or its id."""
    prefix = cluster_arn.replace(":cluster/", ":task/") + "/"
    if not wanted.startswith("arn:"):
        if len(wanted) > 36:
            raise invalid("taskId longer than 36.")
        return prefix + wanted
    if not wanted.startswith(prefix):
        raise invalid(f"Identifier is for another cluster. Your cluster is {cluster_arn.rpartition('/')[2]}")
    return wanted


def _write(path, content):
    """Writes the file so that nobody ever reads half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1))
    draft.replace(path)


def _iso(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
