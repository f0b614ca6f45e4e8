"""A Lambda function for the tests of the emulator, on the Runtime API alone."""

import http.client
import json
import os
import threading
import time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
ROOT = "/2018-06-01/runtime"


def call(method, path, body=None):
    connection = http.client.HTTPConnection(API)
    connection.request(method, ROOT + path, body)
    answer = connection.getresponse()
    return answer.headers, answer.read()


def late(path):
    time.sleep(1)
    with open(path, "w"):
        pass


def handle(event, headers):
    if "Records" in event:
        print("batch", ",".join(record["body"] for record in event["Records"]), flush=True)
        bad = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in bad]}
    do = event.get("do", "echo")
    if do == "fail":
        raise ValueError("as asked")
    if do == "exit":
        os._exit(3)
    if do == "sleep":
        time.sleep(event["seconds"])
    if do == "late":
        threading.Thread(target=late, args=[event["path"]]).start()
    if do == "headers":
        return dict(headers)
    if do == "env":
        return dict(os.environ)
    if do == "pid":
        return os.getpid()
    if do == "answer":
        return event["answer"]
    if "rawPath" in event:
        return {"statusCode": 201, "headers": {"X-Seen": event["rawPath"]}, "cookies": ["a=1", "b=2"],
                "body": json.dumps(event)}
    return event


if os.environ.get("BROKEN") == "1":
    call("POST", "/init/error", json.dumps({"errorType": "Broken", "errorMessage": "no configuration"}))
    raise SystemExit(1)

while True:
    headers, event = call("GET", "/invocation/next")
    request = headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        call("POST", f"/invocation/{request}/response", json.dumps(handle(json.loads(event), headers)))
    except Exception as error:
        said = {"errorType": type(error).__name__, "errorMessage": str(error)}
        call("POST", f"/invocation/{request}/error", json.dumps(said))
