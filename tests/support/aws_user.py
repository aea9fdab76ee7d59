"""Someone at a shell, with moto for all of AWS."""

from __future__ import annotations

import contextlib
import http.client
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

from ocrlabel.cli.aws import app
from tests.support.aws import ACCOUNT, aws_at, reset

MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
)
KEY = "up_a_key_that_shows_nowhere"


class User:
    """Someone at a shell: variables, a folder, and what the last command printed."""

    def __init__(self, url: str) -> None:
        self.variables = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "UPSTAGE_API_KEY": KEY,
            "S3_BUCKET": "",
            "SECRET_NAME": "",
            "UPSTAGE_BASE_URL": "",
        }
        self.aws = aws_at({"*": url})
        self.printed = ""

    def types(self, line: str) -> str:
        result = CliRunner().invoke(app, line.split(), env=self.variables)
        self.printed += result.output
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def push_image(self) -> str:
        """An image in ECR that says nothing of itself; its address by digest."""
        ecr, where = self.aws.client("ecr"), {"repositoryName": "batch-processor"}
        with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
            ecr.put_image(**where, imageManifest=MANIFEST, imageTag="latest")
        (image,) = ecr.describe_images(**where)["imageDetails"]
        registry = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
        return f"{registry}/batch-processor@{image['imageDigest']}"

    def put_dataset(self, name: str, rows: int) -> None:
        s3 = self.aws.client("s3")
        bucket = f"ocrlabel-{ACCOUNT}-us-east-1"
        s3.delete_bucket_policy(Bucket=bucket)  # moto denies without looking at the condition
        paths = [f"images/{n}.png" for n in range(rows)]
        held = io.BytesIO()
        pq.write_table(pa.table({"id": paths, "image_path": paths}), held)
        s3.put_object(Bucket=bucket, Key=f"data/processed/{name}.parquet", Body=held.getvalue())
        for path in paths[:30]:
            s3.put_object(Bucket=bucket, Key=path, Body=b"png")


def without_docker(url: str) -> None:
    """moto's jobs are done at once, with no container."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(
        "POST",
        "/moto-api/config",
        json.dumps({"batch": {"use_docker": False}}),
        {"Content-Type": "application/json"},
    )
    connection.getresponse().read()
    connection.close()


# moto makes no compute environment without a service role
DEPLOY = f"deploy --service-role arn:aws:iam::{ACCOUNT}:role/service --network own"


def newcomer(url: str) -> User:
    reset(url)
    without_docker(url)
    someone = User(url)
    someone.aws.client("iam").create_role(RoleName="service", AssumeRolePolicyDocument="{}")
    return someone
