"""An AWS account on loopback: moto's server behind a strict front.

Every request in a JSON protocol to a service that `validation.py` names is noted, may be made to fail, is checked
against the service's own model, and is served one at a time for each service (moto's own state knows no locks, and a
conditional write must be one). RunTask, StopTask, DescribeTasks and ListTasks are answered by `ecs.py`; what moto gets
wrong about DynamoDB's ClientRequestToken is put right here, and `documented.py` refuses what moto lets pass. Everything
else is moto's own answer. `permissions.py` says what each call of somebody with a session token had to be allowed.

    python main.py PORT_FILE    binds a free port and writes it to PORT_FILE as soon as it answers
"""

import hashlib
import io
import json
import os
import sys
import threading
import time
from collections import deque

import documented
import ecs
import permissions
import validation
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import sqs_backends
from validation import Refused
from werkzeug.serving import make_server

MOST_BODY_BYTES = 17 * 1024 * 1024  # DynamoDB's BatchWriteItem is the largest, at 16 MB
MOST_CALLS = 20_000
MOST_FAULTS = 1_000
MOST_NEEDED = 10_000
MOST_SUMMARY_CHARS = 2_000
POLL_S = 0.02
# "If you submit a request with the same client token but a change in other parameters within the 10-minute
# idempotency window, DynamoDB returns an IdempotentParameterMismatch exception."
TRANSACTION_TOKEN_S = 600
DEFAULT_REGION = "us-east-1"


class Front:
    """The WSGI application."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.locks = {service: threading.RLock() for service in validation.SERVICES}
        self.lock = threading.Lock()  # of what follows
        self.calls = deque(maxlen=MOST_CALLS)
        self.needed = set()  # what whoever has a session token needed to be allowed
        self.faults = []
        self.transactions = {}
        self.ecs = ecs.Ecs(self._deliver)

    def __call__(self, environ, start_response):
        try:
            if environ["PATH_INFO"].startswith("/dormouse/"):
                status, headers, body = self._control(environ)
            else:
                service, action = validation.service_of(environ.get("HTTP_X_AMZ_TARGET", ""))
                if service is None:
                    return self.moto(environ, start_response)
                status, headers, body = self._call(environ, service, action)
        except Refused as refused:
            status, headers, body = _refusal(refused)
        start_response(f"{status} -", headers)
        return [body]

    # ---- calls of AWS services ----

    def _call(self, environ, service, action):
        raw = _body(environ)
        try:
            params = json.loads(raw or b"{}")
        except ValueError:
            raise Refused("SerializationException", "the body is no JSON") from None
        noted = self._note(service, action, raw)
        fault = self._take_fault(service, action)
        if fault and fault["how"] == "before":
            answer = _fault_answer(fault)
        else:
            try:
                answer = self._serve(environ, service, action, params, raw)
            except Refused as refused:
                answer = _refusal(refused)
            if fault:
                noted["tookEffect"] = answer[0] < 300
                answer = _fault_answer(fault)
        noted["status"] = answer[0]
        return answer

    def _serve(self, environ, service, action, params, raw):
        validation.check(service, action, params)
        region = _region(environ)
        self._note_needed(environ.get("HTTP_X_AMZ_SECURITY_TOKEN"), service, action, params, region)
        documented.check(service, action, params, region)
        if service == "ecs" and action in self.ecs.actions():
            return _json(200, self.ecs.actions()[action](region, params))
        if service == "ecs" and action == "RegisterTaskDefinition":
            ecs.check_definition(params)
        if service == "sqs" and action == "ReceiveMessage":
            return self._receive(environ, region, params)
        if service == "dynamodb" and action == "TransactWriteItems":
            return self._transact(environ, params, raw)
        return self._to_moto(environ, service, raw)

    def _to_moto(self, environ, service, raw):
        inner = {**environ, "wsgi.input": io.BytesIO(raw), "CONTENT_LENGTH": str(len(raw))}
        if "HTTP_AUTHORIZATION" not in inner:
            scope = f"emulated/20200101/{DEFAULT_REGION}/{service}/aws4_request"
            inner["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        begun = []
        with self.locks[service]:
            chunks = self.moto(inner, lambda status, headers, _=None: begun.extend([status, headers]))
            try:
                body = b"".join(chunks)
            finally:
                getattr(chunks, "close", lambda: None)()
        headers = [(name, value) for name, value in begun[1] if name.lower() not in ("content-length", "connection")]
        return int(begun[0].split()[0]), headers, body

    def _receive(self, environ, region, params):
        """Polls, so that a receive that waits does not keep others out."""
        wait = params.get("WaitTimeSeconds")
        if wait is None:
            queue = sqs_backends[DEFAULT_ACCOUNT_ID][region].queues.get(params["QueueUrl"].rpartition("/")[2])
            wait = queue.receive_message_wait_time_seconds if queue else 0
        if not 0 <= wait <= 20:
            raise Refused("InvalidParameterValue", "WaitTimeSeconds must be between 0 and 20")
        raw = json.dumps({**params, "WaitTimeSeconds": 0}).encode()
        until = time.monotonic() + wait
        while True:
            answer = self._to_moto(environ, "sqs", raw)
            if answer[0] != 200 or json.loads(answer[2] or b"{}").get("Messages") or time.monotonic() >= until:
                return answer
            time.sleep(POLL_S)

    def _transact(self, environ, params, raw):
        """Answers a repeated ClientRequestToken as DynamoDB does; moto cancels the repetition."""
        token = params.get("ClientRequestToken")
        with self.locks["dynamodb"]:
            now = time.time()
            self.transactions = {key: held for key, held in self.transactions.items()
                                 if now - held[2] < TRANSACTION_TOKEN_S}
            held = self.transactions.get(token)
            items = params["TransactItems"]
            if token and held:
                if held[0] != items:
                    raise Refused("com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException",
                                  "the token was used with other parameters")
                return held[1]
            answer = self._to_moto(environ, "dynamodb", raw)
            if token and answer[0] == 200:
                self.transactions[token] = (items, answer, now)
            return answer

    def _deliver(self, region, queue, text):
        with self.locks["sqs"]:
            sqs_backends[DEFAULT_ACCOUNT_ID][region].send_message(queue, text)

    def _note(self, service, action, raw):
        noted = {"service": service, "action": action, "time": time.time(), "status": None,
                 "digest": hashlib.sha256(raw).hexdigest(),
                 "params": raw.decode(errors="replace")[:MOST_SUMMARY_CHARS]}
        with self.lock:
            self.calls.append(noted)
        return noted

    def _note_needed(self, caller, service, action, params, region):
        if not caller:
            return
        needed = permissions.needed(service, action, params, region, lambda name: ecs.definition_of(region, name)[0])
        with self.lock:
            for name, resource, context in needed:
                if len(self.needed) < MOST_NEEDED:
                    self.needed.add((caller, name, resource, tuple(sorted(context.items()))))

    def _take_fault(self, service, action):
        with self.lock:
            for fault in self.faults:
                if (fault["service"], fault["action"]) == (service, action):
                    fault["times"] -= 1
                    if fault["times"] == 0:
                        self.faults.remove(fault)
                    return fault
        return None

    # ---- what tests ask for ----

    def _control(self, environ):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix("/dormouse/")
        try:
            asked = json.loads(_body(environ) or b"{}")
        except ValueError:
            raise Refused("NotJson", "the body is no JSON") from None
        try:
            return _json(200, self._controls(method, path, asked))
        except KeyError as missing:
            raise Refused("Missing", f"{missing} is needed") from None

    def _controls(self, method, path, asked):
        if (method, path) == ("GET", "calls"):
            with self.lock:
                return list(self.calls)
        if (method, path) == ("DELETE", "calls"):
            with self.lock:
                self.calls.clear()
            return {}
        if (method, path) == ("GET", "needed"):
            with self.lock:
                return [{"caller": caller, "action": action, "resource": resource, "context": dict(context)}
                        for caller, action, resource, context in sorted(self.needed)]
        if (method, path) == ("POST", "faults"):
            return self._add_fault(asked)
        if (method, path) == ("DELETE", "faults"):
            with self.lock:
                left, self.faults = self.faults, []
            return left
        if (method, path) == ("POST", "ecs/end"):
            self.ecs.end(asked["task"], asked["stopCode"], asked["stoppedReason"], asked.get("exitCodes", {}))
            return {}
        if (method, path) == ("POST", "ecs/forget"):
            self.ecs.forget(asked.get("task"))
            return {}
        if (method, path) == ("POST", "ecs/settings"):
            unknown = asked.keys() - self.ecs.settings.keys()
            if unknown:
                raise Refused("Unknown", f"no such setting: {', '.join(sorted(unknown))}")
            self.ecs.settings.update(asked)
            return self.ecs.settings
        if (method, path) == ("GET", "ready"):
            return {}
        raise Refused("NotFound", f"no {method} /dormouse/{path}", status=404)

    def _add_fault(self, asked):
        fault = {"service": asked["service"], "action": asked["action"], "times": int(asked.get("times", 1)),
                 "how": asked["how"], "status": int(asked.get("status", 503)),
                 "code": asked.get("code", "ServiceUnavailable"), "answer": asked.get("answer")}
        known = fault["service"] in validation.SERVICES and fault["how"] in ("before", "after")
        if not known or not 1 <= fault["times"] <= 1_000 or not 200 <= fault["status"] <= 599:
            raise Refused("BadFault", "a fault has a known service, before or after, 1 to 1000 times, a status")
        validation.check_action(fault["service"], fault["action"])
        with self.lock:
            if len(self.faults) >= MOST_FAULTS:
                raise Refused("BadFault", f"at most {MOST_FAULTS} faults wait")
            self.faults.append(fault)
        return {}


def _fault_answer(fault):
    if fault["answer"] is not None:
        return _json(fault["status"], fault["answer"])
    return _refusal(Refused(fault["code"], "injected by a test", fault["status"]))


def _refusal(refused):
    status, headers, body = _json(refused.status, {"__type": refused.code, "message": refused.message,
                                                   **refused.members})
    code = refused.code.rpartition("#")[2]
    side = "Sender" if refused.status < 500 else "Receiver"
    return status, headers + [("x-amzn-query-error", f"{code};{side}")], body


def _json(status, content):
    request = os.urandom(16).hex()
    return status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", request)], \
        json.dumps(content).encode()


def _body(environ):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ.get("HTTP_TRANSFER_ENCODING") or not 0 <= length <= MOST_BODY_BYTES:
        raise Refused("RequestEntityTooLarge", f"a body has a length, of at most {MOST_BODY_BYTES} bytes", status=413)
    return environ["wsgi.input"].read(length)


def _region(environ):
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
    return scope[2] if len(scope) > 4 else DEFAULT_REGION


def main(port_file):
    server = make_server("127.0.0.1", 0, Front(), threaded=True, request_handler=MotoRequestHandler)
    draft = f"{port_file}.draft"
    with open(draft, "w") as file:
        file.write(str(server.server_port))
    os.replace(draft, port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
