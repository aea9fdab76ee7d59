from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from ocrlabel.aws.explain import read, tail
from ocrlabel.aws.jobs import describe
from ocrlabel.aws.session import AwsRefused
from ocrlabel.cli.progress import JsonLines
from tests.support.aws import Served, aws_at, serving
from tests.support.fake_batch import FakeBatch
from tests.support.fake_logs import FakeLogs


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Served, Served]]:
    with serving("application/json") as batch, serving("application/x-amz-json-1.1") as logs:
        yield batch, logs


@pytest.fixture
def world(servers):
    batch, logs = FakeBatch(), FakeLogs()
    servers[0].handle, servers[1].handle = batch.handle, logs.handle
    return aws_at({"batch": servers[0].url, "logs": servers[1].url}), batch, logs


def running(stream="s"):
    return {"status": "RUNNING", "container": {"logStreamName": stream}}


def done(stream="s", status="SUCCEEDED"):
    return {"status": status, "container": {"logStreamName": stream, "exitCode": 0}}


def texts(aws, job_id, *, follow):
    lines = []
    read(aws, job_id, lines.append, follow=follow)
    return [line.text for line in lines]


def test_every_line_of_every_page_is_printed_once(world):
    aws, batch, logs = world
    batch.lives["job"] = [done()]
    logs.streams["s"] = [f"line {n}" for n in range(10)]
    assert texts(aws, "job", follow=False) == logs.streams["s"]


def test_following_prints_each_line_once_while_they_are_written(world):
    aws, batch, logs = world
    batch.lives["job"] = [running(), running(), running(), done()]
    logs.growth = [("s", f"line {n}") for n in range(12)]
    assert texts(aws, "job", follow=True) == [f"line {n}" for n in range(12)]


def test_a_stream_that_is_not_there_yet_is_waited_for(world):
    aws, batch, logs = world
    batch.lives["job"] = [{"status": "RUNNABLE"}, running(), running(), done()]
    logs.streams = {}
    logs.growth = [("elsewhere", "x"), ("s", "first"), ("s", "last")]
    assert texts(aws, "job", follow=True) == ["first", "last"]


def test_lines_that_arrive_after_the_end_are_not_lost(world):
    aws, batch, logs = world
    batch.lives["job"] = [running(), done()]
    logs.streams["s"] = ["early"]
    logs.growth = [("t", ""), ("t", ""), ("t", ""), ("s", "late")]
    assert texts(aws, "job", follow=True) == ["early", "late"]


def test_the_attempt_before_a_retry_is_read_too(world):
    aws, batch, logs = world
    first = {"container": {"logStreamName": "a"}, "statusReason": "Your Spot Task was interrupted"}
    batch.lives["job"] = [{**done("b"), "attempts": [first]}]
    logs.streams = {"a": ["first try"], "b": ["second try"]}
    assert texts(aws, "job", follow=False) == ["first try", "second try"]


def test_an_arrays_lines_say_whose_they_are(world):
    aws, batch, logs = world
    batch.lives = {
        "job": [{"status": "SUCCEEDED", "arrayProperties": {"size": 2}}],
        "job:0": [{**done("a"), "arrayProperties": {"index": 0}}],
        "job:1": [{**done("b"), "arrayProperties": {"index": 1}}],
    }
    logs.streams = {"a": ["from nought"], "b": ["from one"]}
    lines = []
    read(aws, "job", lines.append, follow=False)
    assert [(line.worker, line.text) for line in lines] == [(0, "from nought"), (1, "from one")]


def test_throttling_loses_no_line(world):
    aws, batch, logs = world
    batch.lives["job"] = [done()]
    logs.streams["s"] = ["a", "b"]
    logs.throttle = 2
    assert texts(aws, "job", follow=False) == ["a", "b"]


def test_the_end_of_the_log_is_that_of_the_last_attempt_that_wrote(world):
    aws, batch, logs = world
    first = {"container": {"logStreamName": "a"}}
    batch.lives["job"] = [{**done("b", "FAILED"), "attempts": [first]}]
    logs.streams = {"a": [f"line {n}" for n in range(9)]}
    assert tail(aws, describe(aws, ["job"])[0], 2) == ["line 7", "line 8"]


def test_the_end_of_the_log_holds_no_metrics_which_are_for_cloudwatch(world):
    aws, batch, logs = world
    batch.lives["job"] = [done()]
    out = io.StringIO()
    with JsonLines(lambda: 0.0, lambda: 0.0, out) as lines:
        lines.say("the reason")
    said, metrics = out.getvalue().splitlines()
    logs.streams["s"] = ["before", *[metrics] * 5, said, *[metrics] * 5]
    assert tail(aws, describe(aws, ["job"])[0], 2) == ["before", said]


def test_an_unknown_job_is_said(world):
    aws, _, _ = world
    with pytest.raises(AwsRefused, match="knows no job other"):
        texts(aws, "other", follow=False)
