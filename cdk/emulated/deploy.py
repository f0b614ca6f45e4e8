"""The toolkit itself bootstraps an emulated account, and deploys the stateful stack to it, twice.

    python emulated/deploy.py      with the Python of the emulators (`target/emulators`), in cdk/, after `npm ci`

moto's CloudFormation makes what a template says only in part, so this looks at what it does make: the table with its keys,
the encrypted file system, the encrypted bucket, the outputs, the protection of the stack. It leaves out the bucket's policy,
lifecycle, versions, CORS and public access block, and the table's recovery, and it knows neither permissions nor drift. The
service stack is not deployed: its images need a container engine and a registry.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from pathlib import Path

ACCOUNT, REGION = "123456789012", "eu-central-1"  # moto has this account and no other
CDK = Path(__file__).resolve().parent.parent
PATIENCE_S = 300


class Absent(types.ModuleType):
    """A module that moto imports for services that are not used here, whatever is asked of it."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


# CloudFormation imports every service, and API Gateway wants a validator of its own.
for absent in ("", ".validation", ".validation.exceptions"):
    sys.modules[f"openapi_spec_validator{absent}"] = Absent("openapi_spec_validator")

import boto3  # noqa: E402
from moto.cloudformation.models import CloudFormationBackend  # noqa: E402
from moto.cloudformation.responses import CloudFormationResponse  # noqa: E402
from moto.core.responses import ActionResult  # noqa: E402
from moto.efs.models import FileSystem  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402


def update_termination_protection(self):
    """Moto has no such action, and the toolkit ends without it."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection", False)
    return ActionResult({"StackId": stack.stack_id})


def execute_change_set(self, *arguments, execute=CloudFormationBackend.execute_change_set, **named):
    """Moto reads the outputs of a stack that begins with a change set before it knows its template."""
    execute(self, *arguments, **named)
    for stack in self.stacks.values():
        stack._parse_template()
        stack.output_map = stack._create_output_map()


def get_cfn_attribute(self, name):
    """Moto's file systems tell no attribute, and with them no output is told."""
    return {"Arn": self.file_system_arn, "FileSystemId": self.file_system_id}[name]


FileSystem.get_cfn_attribute = get_cfn_attribute
CloudFormationResponse.update_termination_protection = update_termination_protection
CloudFormationBackend.execute_change_set = execute_change_set


class Silent(WSGIRequestHandler):
    def log(self, *_):
        pass


def cdk(url, directory, *arguments):
    """Runs the toolkit and returns what it says."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "emulated",
        "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DORMOUSE_CONFIG": str(directory / "dormouse.toml"),
        "DORMOUSE_ARTEFACTS": "test/artefacts",
        "CI": "true",
        "NODE_NO_WARNINGS": "1",
    }
    environment.pop("AWS_PROFILE", None)
    command = ["npx", "--no", "--", "cdk", "--output", str(directory / "cdk.out"), *arguments]
    done = subprocess.run(command, cwd=CDK, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        sys.exit(f"cdk {' '.join(arguments)} failed:\n{said}")
    return said


def expect(what, is_so):
    if not is_so:
        sys.exit(f"it is not so that {what}")
    print(f"  {what}")


def look(url, outputs):
    """Looks at what was made."""
    def client(service):
        keys = {"aws_access_key_id": "emulated", "aws_secret_access_key": "emulated"}
        return boto3.client(service, endpoint_url=url, region_name=REGION, **keys)

    table = client("dynamodb").describe_table(TableName=outputs["TableName"])["Table"]
    keys = [key["AttributeName"] for key in table["KeySchema"]]
    index = table["GlobalSecondaryIndexes"][0]
    expect("the table has its keys", keys == ["pk", "sk"])
    expect("the table has its index", [key["AttributeName"] for key in index["KeySchema"]] == ["unsettled", "id"])
    expect("the table is paid for by the request", table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST")
    files = client("efs").describe_file_systems(FileSystemId=outputs["FileSystemId"])["FileSystems"][0]
    expect("the files are encrypted", files["Encrypted"])
    encryption = client("s3").get_bucket_encryption(Bucket=outputs["BucketName"])
    expect("the archives are encrypted", encryption["ServerSideEncryptionConfiguration"]["Rules"])
    stack = client("cloudformation").describe_stacks(StackName="dormouse-stateful")["Stacks"][0]
    expect("the stack is protected", stack["EnableTerminationProtection"])


def deploy(url, directory):
    example = (CDK / "../dormouse.example.toml").read_text()
    (directory / "dormouse.toml").write_text(example.replace("111122223333", ACCOUNT))
    outputs = directory / "outputs.json"
    arguments = ["deploy", "dormouse-stateful", "--require-approval", "never", "--outputs-file", str(outputs)]
    cdk(url, directory, "bootstrap", f"aws://{ACCOUNT}/{REGION}")
    cdk(url, directory, *arguments)
    first = json.loads(outputs.read_text())["dormouse-stateful"]
    look(url, first)
    expect("a second deployment finds nothing to do", "(no changes)" in cdk(url, directory, *arguments))
    expect("the outputs stay", json.loads(outputs.read_text())["dormouse-stateful"] == first)


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                         request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # moto finds the bucket of a template by this name of the host.
    with tempfile.TemporaryDirectory() as directory:
        deploy(f"http://localhost:{server.server_port}", Path(directory))


main()
