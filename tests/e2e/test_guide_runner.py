"""What the guide says of its runner: resuming, refusing, draining, watching, and the key."""

from __future__ import annotations

import hashlib
import io
import json
import signal
from collections import defaultdict
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ocrlabel.aws.job_definition import COMMAND
from ocrlabel.aws.jobs import command
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.fake.settings import FakeSettings, Latency
from tests.support.aws import client, moto_process
from tests.support.fake_upstage import running
from tests.support.fleet import fleet
from tests.support.judge import times_billed
from tests.support.process import pause, until
from tests.support.s3 import flaky_proxy

LEASE_S = "6"
KEY = "up_a_secret_key_of_the_tests"


@pytest.fixture(scope="module")
def s3_url():
    with moto_process() as url:
        yield url


@pytest.fixture
def bucket(request):
    """A name of its own for each test."""
    return f"b-{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}"


@contextmanager
def upstage(rps: float = 60, latency_s: float = 0.3):
    keys = f"{KEY}@{rps:g}/60000"
    settings = FakeSettings(keys=parse_keys(keys), latency=Latency(latency_s, 0.1))
    with running(settings) as fake:
        yield (
            fake,
            {
                "UPSTAGE_API_KEYS": keys,
                "UPSTAGE_BASE_URL": fake.base_url,
                "OCRLABEL_LEASE_S": LEASE_S,
            },
        )


def png(number: int) -> bytes:
    held = io.BytesIO()
    Image.new("L", (40 + number % 60, 30 + number // 60)).save(held, "png", compress_level=1)
    return held.getvalue()


def rows(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    return [(f"page_{n:05}", png(n)) for n in range(first, first + count)]


def table(found: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(found))


def labels(workers, dataset: str) -> pa.Table:
    return table(workers.read(f"data/processed/{dataset}_pseudo_labels.parquet"))


def last_leases(workers, dataset: str) -> dict[str, str]:
    """What the newest number of every lease says."""
    logs = defaultdict(list)
    for key in workers.keys(f"checkpoints/{dataset}/"):
        if "/leases/" in key:
            logs[key.rpartition("/")[0]].append(key)
    return {log: json.loads(workers.read(max(keys)))["state"] for log, keys in logs.items()}


def test_the_guides_3_272_rows_make_seven_readable_checkpoints_and_one_table(
    tmp_path, s3_url, bucket
):
    with fleet(tmp_path, s3_url, bucket, OCRLABEL_ENGINE="scripted") as workers:
        workers.put_rows("baseline_train", rows(3_272))
        status, said = workers.run("--dataset-name", "baseline_train", "--batch-size", "500")
        assert status == 0, said
        found = labels(workers, "baseline_train")
        assert found["id"].to_pylist() == [name for name, _ in rows(3_272)]
        kept = [key for key in workers.keys("checkpoints/") if key.endswith(".parquet")]
        assert kept == [f"checkpoints/baseline_train_batch_{n:04}.parquet" for n in range(7)]
        sizes = []
        for key in kept:
            batch = table(workers.read(key))
            sizes.append(batch.num_rows)
            assert batch["raw"].null_count == 0
            assert all(len(attempts) == 1 for attempts in batch["attempts"].to_pylist())
        assert sizes == [500] * 6 + [272]
        left = workers.keys("checkpoints/baseline_train/")
        assert not [key for key in left if "/journal/" in key or "/asks/" in key]


def test_404_rows_of_one_batch_cut_by_a_signal_are_gone_on_with_as_the_guide_says(
    tmp_path, s3_url, bucket
):
    args = ("--dataset-name", "baseline_val", "--batch-size", "500")
    with upstage(rps=60) as (fake, variables), fleet(tmp_path, s3_url, bucket, **variables) as ws:
        ws.put_rows("baseline_val", rows(404))
        first = ws.start(*args, AWS_BATCH_JOB_ID="job-1:0")
        until(lambda: fake.stats()["requests"] >= 60)
        first.signal(signal.SIGTERM)
        assert first.ended() == 75, first.said
        assert "held" not in last_leases(ws, "baseline_val").values(), "leases are given back"
        assert len(fake.entries) < 404
        assert fake.stats()["in_flight"] == 0

        status, said = ws.run(*args, AWS_BATCH_JOB_ID="job-2")
        assert status == 3
        assert "--resume" in said
        assert "--fresh" in said
        assert ws.run(*args)[0] == 3, "nor by hand"

        sibling = ws.start(*args, AWS_BATCH_JOB_ID="job-1:1")  # of the same array, or a retry
        so_far = len(fake.entries)
        until(lambda: len(fake.entries) > so_far + 40)
        sibling.signal(signal.SIGTERM)
        assert sibling.ended() == 75, sibling.said

        status, said = ws.run(
            *args[:2], "--batch-size", "100", "--resume", AWS_BATCH_JOB_ID="job-3"
        )
        assert status == 0, said
        assert "batches of 500 rows" in said, "a batch size is kept, and that is said"
        assert labels(ws, "baseline_val").num_rows == 404
        assert times_billed(fake.entries).total() == 404
        assert set(times_billed(fake.entries).values()) == {1}
        assert ws.told("baseline_val")["account"]["at_risk_pages"] == {}

        status, said = ws.run(*args, AWS_BATCH_JOB_ID="job-4")
        assert status == 0
        assert "was done before; nothing was sent" in said
        assert len(fake.entries) == 404
        judge_log_lines(first.said)
        assert not any(KEY in worker.said for worker in ws.workers)


def judge_log_lines(log: str) -> None:
    """Every line of a job's log is a JSON object; metrics have CloudWatch's embedded format."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"starting", "started", "metrics"} <= {line["event"] for line in lines}
    for line in (line for line in lines if line["event"] == "metrics"):
        meta = line["_aws"]
        assert isinstance(meta["Timestamp"], int)
        assert 1e12 < meta["Timestamp"] < 1e14, "milliseconds"
        for directive in meta["CloudWatchMetrics"]:
            assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
            assert 1 <= len(directive["Namespace"]) <= 1024
            for dimensions in directive["Dimensions"]:
                assert all(isinstance(line[name], str) for name in dimensions)
            names = {metric["Name"] for metric in directive["Metrics"]}
            assert names == {"ImagesPerSecond", "Failures", "Throttled", "SpentUSD"}
            for metric in directive["Metrics"]:
                assert metric["Unit"] in {"Count", "Count/Second", "None"}
                assert isinstance(line[metric["Name"]], int | float)


def test_a_name_that_another_one_begins_with_is_another_dataset(tmp_path, s3_url, bucket):
    with fleet(tmp_path, s3_url, bucket, OCRLABEL_ENGINE="scripted") as ws:
        ws.put_rows("baseline_train", rows(12))
        ws.put_rows("baseline_train_v2", rows(7, first=100))
        for dataset in ("baseline_train_v2", "baseline_train"):
            status, said = ws.run("--dataset-name", dataset, "--batch-size", "5")
            assert status == 0, said
        v2 = {key: ws.read(key) for key in ws.keys("") if "_v2" in key}
        assert ws.run("--dataset-name", "baseline_train", "--batch-size", "4", "--fresh")[0] == 0
        assert {key: ws.read(key) for key in ws.keys("") if "_v2" in key} == v2
        assert labels(ws, "baseline_train")["id"].to_pylist() == [name for name, _ in rows(12)]
        assert labels(ws, "baseline_train_v2").num_rows == 7


def test_what_aws_submit_tells_the_runner_is_done(tmp_path, s3_url, bucket):
    table_of = {"id": ["a", "b", "c"], "key": ["x", "y", "z"], "image": [png(n) for n in range(3)]}
    held = io.BytesIO()
    pq.write_table(pa.table(table_of), held)
    given = {"id_column": "key", "limit": "2", "image_root": [str(tmp_path)]}
    submitted = command("train", given | {"report": False})
    with fleet(tmp_path, s3_url, bucket, OCRLABEL_ENGINE="scripted") as ws:
        ws.s3.put_object(Bucket=bucket, Key="data/processed/train.parquet", Body=held.getvalue())
        status, said = ws.run(*submitted[len(COMMAND) :])
        assert status == 0, said
        partial = next(key for key in ws.keys("data/processed/") if "labels_partial" in key)
        assert table(ws.read(partial))["id"].to_pylist() == ["x", "y"]


def test_what_does_not_end_within_the_grace_is_written_down_as_unknown(tmp_path, s3_url, bucket):
    args = ("--dataset-name", "train", "--resume")
    with (
        upstage(latency_s=20) as (fake, variables),
        fleet(tmp_path, s3_url, bucket, **variables) as ws,
    ):
        ws.put_rows("train", rows(60))
        worker = ws.start(*args, OCRLABEL_GRACE_S="0.5")
        until(lambda: fake.stats()["in_flight"] >= 6)
        worker.signal(signal.SIGTERM)
        assert worker.ended(within_s=15) == 75, worker.said
        under_way = fake.stats()["in_flight"]
        assert "held" not in last_leases(ws, "train").values()
        told = ws.told("train")
        assert told["complete"] is False
        assert "SIGTERM" in told["reason"]
        assert told["account"]["requests"]["unknown"] == under_way
        assert told["account"]["at_risk_pages"] == {"unknown": under_way}


def test_before_a_deadline_it_drains_too(tmp_path, s3_url, bucket):
    with upstage(rps=10) as (fake, variables), fleet(tmp_path, s3_url, bucket, **variables) as ws:
        ws.put_rows("train", rows(400))
        # a busy machine needs some seconds to begin, and more than one for what is under way
        status, said = ws.run(
            "--dataset-name", "train", OCRLABEL_DEADLINE="22", OCRLABEL_GRACE_S="6"
        )
        assert status == 75, said
        assert "deadline" in said
        assert 0 < len(fake.entries) < 400
        assert ws.told("train")["account"]["at_risk_pages"] == {}


@pytest.mark.parametrize(
    ("method", "at"),
    [
        ("PUT", "train_pseudo_labels.parquet"),
        ("PUT", "train_run.json"),
        ("PUT", "/leases/merge/"),
        ("POST", "delete"),
    ],
)
def test_a_crash_at_any_step_of_the_merge_is_harmless(tmp_path, s3_url, bucket, method, at):
    args = ("--dataset-name", "train", "--batch-size", "10", "--resume")
    with (
        upstage() as (fake, variables),
        flaky_proxy(s3_url) as proxy,
        fleet(tmp_path, s3_url, bucket, **variables) as ws,
    ):
        ws.put_rows("train", rows(30))
        cuts = []

        def cut(done: str, path: str) -> None:
            merging = any("train_batch_0002" in key for key in ws.keys("checkpoints/train_"))
            if done == method and at in path and merging and not cuts:
                cuts.append(path)
                worker.signal(signal.SIGKILL)

        proxy.took_place = cut
        worker = ws.start(*args, AWS_ENDPOINT_URL=proxy.url)
        assert worker.ended() == -signal.SIGKILL, worker.said
        assert cuts
        status, said = ws.run(*args)
        assert status == 0, said
        assert labels(ws, "train").num_rows == 30
        assert ws.told("train")["account"]["billed_pages"] == 30
        assert set(times_billed(fake.entries).values()) == {1}
        left = ws.keys("checkpoints/train/")
        assert not [key for key in left if "/journal/" in key or "/asks/" in key]


def test_rate_and_cap_of_a_live_fleet_can_be_changed_and_every_worker_be_watched(
    tmp_path, s3_url, bucket
):
    with upstage(rps=80) as (fake, variables), fleet(tmp_path, s3_url, bucket, **variables) as ws:
        ws.put_rows("train", rows(600))
        args = ("--dataset-name", "train", "--rps", "4", "--resume")
        both = [ws.start(*args) for _ in range(2)]
        until(lambda: fake.stats()["requests"] >= 30)
        table_url = f"s3://{bucket}/data/processed/train_pseudo_labels.parquet"
        status, said = ws.ocrlabel("status", table_url)
        assert status == 0, said
        assert "running, 2 workers" in said
        assert said.count(" labelled, ") == 2
        status, said = ws.ocrlabel("set", table_url, "--rps", "40")
        assert status == 0, said
        slow = fake.stats()["requests"]
        pause(4)
        before = fake.stats()["requests"]
        pause(2)
        faster = (fake.stats()["requests"] - before) / 2
        assert faster > 8, "4 requests/s became 40"
        assert slow < before
        assert ws.ocrlabel("set", table_url, "--max-cost", "0.0015")[0] == 0
        assert [worker.ended() for worker in both] == [5, 5], both[0].said
        assert len(fake.entries) < 600


@pytest.mark.parametrize(
    "value",
    [KEY, json.dumps({"UPSTAGE_API_KEY": KEY}), json.dumps([{"key": KEY, "requests_per_s": 60}])],
    ids=["plain", "one key", "a list with rates"],
)
def test_the_key_comes_from_the_secret_once_and_stands_in_no_log(tmp_path, s3_url, request, value):
    number = request.node.callspec.indices["value"]
    name = f"upstage-api-key-{number}"
    client("secretsmanager", s3_url).create_secret(Name=name, SecretString=value)
    with (
        upstage() as (fake, _),
        flaky_proxy(s3_url) as proxy,
        fleet(tmp_path, s3_url, f"secret-{number}", UPSTAGE_BASE_URL=fake.base_url) as ws,
    ):
        ws.put_rows("train", rows(5))
        status, said = ws.run(
            "--dataset-name",
            "train",
            # as the guide writes it: without the six characters that AWS adds
            AWS_SECRET_ARN=f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}",
            AWS_ENDPOINT_URL=proxy.url,
            AWS_ENDPOINT_URL_S3=s3_url,
            AWS_BATCH_JOB_ID="job",
        )
        assert status == 0, said
        assert proxy.seen == ["POST"], "fetched once"
        assert KEY not in said
        assert len(fake.entries) == 5


def test_without_images_it_stops_before_anything_is_paid_and_says_where_it_looked(
    tmp_path, s3_url, bucket
):
    held = io.BytesIO()
    pq.write_table(pa.table({"image_path": [f"pages/{n}.png" for n in range(30)]}), held)
    with upstage() as (fake, variables), fleet(tmp_path, s3_url, bucket, **variables) as ws:
        key = "data/processed/train.parquet"
        ws.s3.put_object(Bucket=bucket, Key=key, Body=held.getvalue())
        status, said = ws.run("--dataset-name", "train", "--image-root", str(tmp_path))
        assert status == 2
        assert "pages/0.png" in said
        assert f"s3://{bucket}/" in said
        assert str(tmp_path) in said
        assert not fake.entries
