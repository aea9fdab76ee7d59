"""The commands as a user types them, with moto for all of AWS."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ocrlabel.aws.job_definition import file_text
from ocrlabel.aws.names import config_text
from ocrlabel.dataset.labels_table import LabelsWriter, write_changed
from ocrlabel.errors import ConfigError, RunMismatch
from tests.support.aws import ACCOUNT, CONFIG
from tests.support.aws_user import DEPLOY, KEY, MANIFEST
from tests.support.labelled import row, word

# moto says so of every resource that it does not make
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")

GOLDEN = Path(__file__).parents[2] / "golden" / "aws"


def test_deploy_writes_config_env_and_says_what_comes_next(deployed):
    text = Path("aws/config.env").read_text()
    assert f"export S3_BUCKET=ocrlabel-{ACCOUNT}-us-east-1" in text
    assert "export BATCH_JOB_QUEUE=batch-processor-queue" in text
    assert "source aws/config.env" in deployed.printed


def test_deploy_writes_the_guides_definition_which_no_commit_holds(deployed):
    assert Path("aws/batch-job-definition.json").read_text() == file_text()
    project = Path(__file__).parents[3]
    ignored = ["aws/batch-job-definition.json", "aws/config.env", "data/processed/train.parquet"]
    asked = ["git", "-C", str(project), "check-ignore", *ignored]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert said.split() == ignored


def test_the_key_is_printed_nowhere(deployed):
    deployed.types("github-secrets")
    assert KEY not in deployed.printed
    assert KEY not in Path("aws/config.env").read_text()


def test_a_dry_run_lists_and_makes_nothing(user):
    printed = user.types("deploy --dry-run --network own")
    assert "+ add     bucket ocrlabel-" in printed
    assert "+ add     AWS::Batch::JobQueue Queue" in printed
    assert not Path("aws/config.env").exists()
    assert user.aws.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize("network", ["", " --network own"])
def test_offline_lists_what_a_dry_run_in_an_empty_account_lists(user, network):
    asked = user.types(f"deploy --dry-run{network}")
    offline = user.types(f"deploy --dry-run --offline{network}")
    assert offline.replace("ACCOUNT", ACCOUNT) == asked


def test_deploying_again_changes_nothing(deployed):
    assert "nothing to change" in deployed.types("deploy")


@pytest.fixture
def image(deployed) -> str:
    """An image that was pushed."""
    return deployed.push_image()


def test_an_image_is_registered_once(deployed, image):
    deployed.types(f"register --image {image}")
    deployed.types(f"register --image {image}")
    found = deployed.aws.client("batch").describe_job_definitions(status="ACTIVE")
    (definition,) = found["jobDefinitions"]
    assert definition["containerProperties"]["image"] == image


def test_deploying_again_keeps_the_size_that_was_registered(deployed, image):
    deployed.types(f"register --image {image} --vcpu 2 --memory-mib 4096")
    assert "nothing to change" in deployed.types("deploy")


def test_a_dataset_is_submitted_watched_and_listed(deployed, image):
    deployed.types(f"register --image {image}")
    deployed.put_dataset("baseline_train", 100)
    printed = deployed.types("submit baseline_train --max-cost 2 --watch")
    assert "one worker saturates 3 requests/s" in deployed.printed
    assert "succeeded; fetch the labels: ocrlabel aws download baseline_train" in printed
    job = printed.splitlines()[0]
    (described,) = deployed.aws.client("batch").describe_jobs(jobs=[job])["jobs"]
    assert described["container"]["command"][-4:] == [
        "--dataset-name",
        "baseline_train",
        "--max-cost",
        "2",
    ]
    assert described["jobName"].startswith("pseudo-label-baseline_train-")
    assert "it succeeded" in deployed.types(f"explain {job}")


def test_several_workers_are_one_array(deployed, image):
    deployed.types(f"register --image {image}")
    deployed.put_dataset("baseline_train", 100)
    job = deployed.types("submit baseline_train --workers 4").strip()
    (described,) = deployed.aws.client("batch").describe_jobs(jobs=[job])["jobs"]
    assert described["arrayProperties"]["size"] == 4


def test_a_dataset_that_is_not_there_is_said_before_a_job_is_made(deployed):
    deployed.put_dataset("baseline_train", 1)
    with pytest.raises(ConfigError, match=r"typo.parquet is not there"):
        deployed.types("submit typo")


def test_a_job_that_would_fail_is_refused_with_every_reason_and_none_is_made(deployed, image):
    deployed.types(f"register --image {image[:-6]}ffffff")
    bucket = f"ocrlabel-{ACCOUNT}-us-east-1"
    deployed.put_dataset("left", 2)
    for path in ("images/0.png", "images/1.png"):
        deployed.aws.client("s3").delete_object(Bucket=bucket, Key=path)
    before = deployed.aws.client("batch").list_jobs(jobQueue="batch-processor-queue")
    with pytest.raises(ConfigError) as caught:
        deployed.types("submit left")
    said = str(caught.value)
    key = "data/processed/left.parquet"
    assert "nothing was submitted, and nothing paid" in said
    assert "is not in ECR\n    mend it: ocrlabel aws push-image" in said
    assert f"mend it: ocrlabel push {key} s3://{bucket}/{key} --pack" in said
    after = deployed.aws.client("batch").list_jobs(jobQueue="batch-processor-queue")
    assert after["jobSummaryList"] == before["jobSummaryList"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "export AWS_ACCOUNT_ID=111122223333",
            f"these are account {ACCOUNT}'s, config.env is 1111",
        ),
        ("export AWS_REGION=eu-west-1", "the region is us-east-1, config.env says eu-west-1"),
    ],
)
def test_keys_or_a_region_of_another_deployment_are_said_first(deployed, tmp_path, line, said):
    other = tmp_path / "config.env"
    other.write_text(f"{Path('aws/config.env').read_text()}{line}\n")
    with pytest.raises(ConfigError, match=said):
        deployed.types(f"submit train --config {other}")


def test_a_part_of_the_rows_is_sized_as_that_part(deployed, image):
    deployed.types(f"register --image {image}")
    deployed.put_dataset("big", 1000)
    deployed.types("submit big --rps 1")
    assert "about 17 min" in deployed.printed
    for part in ("--limit 300", "--limit 300 --sample 900"):
        deployed.printed = ""
        deployed.types(f"submit big --rps 1 {part}")
        assert "about 5 min" in deployed.printed


def test_of_a_job_that_has_ended_every_command_says_so(deployed, image):
    deployed.types(f"register --image {image}")
    deployed.put_dataset("over", 2)
    job = deployed.types("submit over --rps 1").split()[-1]
    deployed.aws.client("batch").terminate_job(jobId=job, reason="no machine came")
    said = deployed.types("status over")
    assert f"the last was {job}  pseudo-label-over-" in said
    assert "· no machine came" in said
    assert f"{job} has ended already: " in deployed.types(f"cancel {job}")
    deployed.printed = ""
    deployed.types(f"logs {job}")
    assert f"has written no log; `ocrlabel aws explain {job}`" in deployed.printed


def test_a_table_that_was_corrected_since_it_was_fetched_is_not_replaced(deployed, tmp_path):
    deployed.put_dataset("mine", 1)
    table, corrected = tmp_path / "t.parquet", tmp_path / "mine_pseudo_labels.parquet"
    with LabelsWriter(table) as writer:
        writer.add(row("a.jpg", [word()]))
    bucket, key = f"ocrlabel-{ACCOUNT}-us-east-1", f"data/processed/{corrected.name}"
    deployed.aws.client("s3").upload_file(str(table), bucket, key)
    deployed.types(f"download mine -o {tmp_path}")
    deployed.types(f"download mine -o {tmp_path}")  # what was fetched is fetched anew
    write_changed(
        corrected, [row("a.jpg", [word("by hand")])], source=table, changed_by="import coco"
    )
    before = corrected.read_bytes()
    with pytest.raises(RunMismatch, match=r"was changed since \(import coco\)"):
        deployed.types(f"download mine -o {tmp_path}")
    assert corrected.read_bytes() == before


def test_results_are_downloaded_and_missing_ones_explained(deployed):
    deployed.put_dataset("fetched", 1)
    with pytest.raises(ConfigError, match="the run has not ended"):
        deployed.types("download fetched --to out")
    for ending in ("_pseudo_labels.parquet", "_run.json"):
        deployed.aws.client("s3").put_object(
            Bucket=f"ocrlabel-{ACCOUNT}-us-east-1", Key=f"data/processed/fetched{ending}", Body=b"x"
        )
    assert deployed.types("download fetched --to out").split() == [
        "out/fetched_pseudo_labels.parquet",
        "out/fetched_run.json",
    ]


def test_the_doctor_names_what_is_missing_and_what_mends_it(user):
    user.types(DEPLOY)
    user.put_dataset("train", 3)
    with pytest.raises(ConfigError, match="checks failed"):
        user.types("doctor train")
    lines = user.printed
    assert f"ok      credentials: account {ACCOUNT}, us-east-1" in lines
    assert "ok      secret: arn:aws:secretsmanager:us-east-1:" in lines
    assert ":secret:upstage-api-key-" in lines
    assert "holds a key (not shown)" in lines
    assert "ok      queue: batch-processor-queue is enabled and valid" in lines
    assert "ok      dataset: train: 3 rows; 3 sampled images are there" in lines
    assert "NOT OK  image: no job definition pseudo-label-processor is registered" in lines
    assert "mend it: ocrlabel aws push-image" in lines


@pytest.mark.parametrize("file", ["", config_text(CONFIG)], ids=["no file", "of a stack gone"])
def test_the_doctor_says_that_nothing_is_deployed_and_what_to_type(user, file):
    Path("aws").mkdir()
    if file:
        Path("aws/config.env").write_text(file)
    with pytest.raises(ConfigError) as said:
        user.types("doctor")
    first, command = str(said.value).splitlines()
    assert first == "nothing is deployed yet in us-east-1: there is no stack ocrlabel"
    assert command.strip() == "UPSTAGE_API_KEY=up_... ocrlabel aws deploy"
    assert "NOT OK" not in user.printed


def test_a_deployment_lists_each_change_once(user):
    user.types(DEPLOY)
    planned = [line for line in user.printed.splitlines() if line.startswith("+ add")]
    assert len(planned) > 20
    assert len(planned) == len(set(planned))


def test_destroy_lists_by_name_what_goes_and_stays_and_takes_the_images_with_it(user):
    user.types(DEPLOY.removesuffix(" --network own"))
    ecr, where = user.aws.client("ecr"), {"repositoryName": "batch-processor"}
    for number in range(101):  # more than ECR deletes at once; the last has two tags
        layers = [{"digest": f"sha256:{number:064}", "size": 1}]
        manifest = json.dumps({**json.loads(MANIFEST), "layers": layers})
        ecr.put_image(**where, imageManifest=manifest, imageTag=f"v{number}")
    ecr.put_image(**where, imageManifest=manifest, imageTag="latest")
    printed = user.types("destroy --yes").splitlines()
    going = [line.split() for line in printed if line.startswith("- remove")]
    assert all(len(line) >= 4 for line in going), printed
    assert ["-", "remove", "AWS::Batch::JobQueue", "Queue"] in going
    bucket = f"bucket ocrlabel-{ACCOUNT}-us-east-1 (--delete-data)"
    secret = "secret upstage-api-key (--delete-secret)"
    assert f"what stays: {bucket}, {secret}, log group /aws/batch/job" in printed
    assert "101 images deleted from batch-processor" in user.printed
    assert ecr.describe_repositories()["repositories"] == []


def test_status_says_that_nothing_runs_and_that_nothing_is_saved(deployed):
    deployed.put_dataset("train", 3)
    printed = deployed.types("status train")
    assert "no job is waiting or running" in printed
    assert "train: nothing saved yet" in printed


def test_without_config_env_deploy_is_what_comes_next(user):
    with pytest.raises(ConfigError, match="ocrlabel aws deploy"):
        user.types("submit train")


@pytest.mark.parametrize(
    "role", ["job", "execution", "instance", "github", "deployer-jobs", "deployer-stack"]
)
def test_a_policy_is_printed_as_it_is_kept(user, role):
    printed = user.types(f"policy {role} --account {ACCOUNT} --region us-east-1 --bucket labels")
    assert printed == (GOLDEN / f"policy-{role}.json").read_text()


def test_an_unknown_role_is_refused(user):
    with pytest.raises(ConfigError, match="one of deployer, deployer-jobs, "):
        user.types("policy admin")


def test_the_cost_of_the_guides_images_is_said_with_every_source(user):
    printed = user.types("cost --image-count 3272 --offline")
    assert "OCR: $4.9080" in printed
    assert "Fargate on demand, 0.30 machine hours: $0.0165" in printed


def test_the_cost_of_a_finished_run_is_what_its_account_says(deployed):
    deployed.put_dataset("costed", 4)
    s3 = deployed.aws.client("s3")
    bucket = f"ocrlabel-{ACCOUNT}-us-east-1"
    record = json.dumps({"rows": 1000, "account": {"billed_pages": 1200}})
    stem = "data/processed/costed"
    s3.put_object(Bucket=bucket, Key=f"{stem}_run.json", Body=record.encode())
    s3.put_object(Bucket=bucket, Key=f"{stem}_pseudo_labels.parquet", Body=b"labels")
    printed = deployed.types("cost --dataset costed --offline")
    assert "OCR: $1.8000" in printed
    assert "1,200 x $0.0015" in printed
