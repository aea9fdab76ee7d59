"""Building and pushing with a container program that is a script, and ECR at moto."""

from __future__ import annotations

import pytest

from ocrlabel.aws.image import (
    Build,
    architectures_of_index,
    build,
    build_argv,
    can_cache,
    container_program,
    log_in,
    pinned,
    push,
)
from ocrlabel.aws.session import CommandFailed, run
from ocrlabel.errors import ConfigError
from tests.support.aws import CONFIG, aws_at, reset
from tests.support.docker_at_ecr import Docker


@pytest.fixture
def ecr(moto):
    reset(moto)
    client = aws_at({"*": moto}).client("ecr")
    client.create_repository(repositoryName="batch-processor")
    return client


def test_an_image_is_built_pushed_and_named_by_its_digest(ecr):
    docker = Docker(ecr)
    build(docker, "docker", Build(".", "Dockerfile.batch", "batch-processor:latest"))
    log_in(docker, "docker", ecr, CONFIG.ecr_uri)
    name = "batch-processor:latest"
    uri = push(docker, "docker", ecr, name=name, uri=CONFIG.ecr_uri, tags=["v1"])
    assert uri.startswith(f"{CONFIG.ecr_uri}@sha256:")
    assert [argv[1] for argv, _ in docker.asked] == ["build", "image", "login", "tag", "push"]


def test_every_tag_moves_to_the_same_image(ecr):
    uri = push(Docker(ecr), "docker", ecr, name="n", uri=CONFIG.ecr_uri, tags=["4f2c1e", "latest"])
    assert pinned(ecr, CONFIG.ecr_uri, "4f2c1e") == pinned(ecr, CONFIG.ecr_uri, "latest") == uri


def test_layers_are_kept_in_the_registry_only_where_that_is_asked_for():
    plain = build_argv("docker", Build(".", "f", "n"))
    cached = build_argv("docker", Build(".", "f", "n", cache="host/repo:cache"))
    assert not [argument for argument in plain if "cache" in argument]
    assert "type=registry,ref=host/repo:cache" in cached
    assert {"--load"} == {one for one in set(cached) - set(plain) if one == "--load"}
    assert any("mode=max" in one and "image-manifest=true" in one for one in cached)


def test_only_a_builder_of_its_own_can_keep_layers_elsewhere():
    assert can_cache(lambda *_: "Name: b\nDriver: docker-container\n", "docker")
    assert not can_cache(lambda *_: "Name: default\nDriver: docker\n", "docker")
    assert not can_cache(run, "false")


def test_the_registrys_password_is_in_no_argument(ecr):
    docker = Docker(ecr)
    log_in(docker, "docker", ecr, CONFIG.ecr_uri)
    login, password = docker.asked[0]
    assert password
    assert password not in login
    assert "--password-stdin" in login


def test_an_image_for_another_processor_is_not_pushed(ecr):
    docker = Docker(ecr, architecture="arm64")
    with pytest.raises(ConfigError, match="exec format error"):
        build(docker, "docker", Build(".", "Dockerfile.batch", "n"))
    assert "push" not in [argv[1] for argv, _ in docker.asked]


def test_a_tag_that_ecr_does_not_have_says_how_to_push_it(ecr):
    with pytest.raises(ConfigError, match="push-image"):
        pinned(ecr, CONFIG.ecr_uri, "latest")


def no_daemon(argv, _stdin):
    raise CommandFailed(f"{argv[0]} info failed (1):\n  is the docker daemon running?")


@pytest.mark.parametrize(
    ("installed", "answering", "taken"),
    [
        ({"docker", "podman"}, {"docker", "podman"}, "docker"),
        ({"podman"}, {"podman"}, "podman"),
        ({"docker", "podman"}, {"podman"}, "podman"),
        ({"docker"}, set(), "is the docker daemon running"),
        (set(), set(), "neither docker nor podman is installed"),
    ],
)
def test_docker_is_used_before_podman_where_it_answers(installed, answering, taken):
    def run(argv, stdin):
        return "" if argv[0] in answering else no_daemon(argv, stdin)

    def which(name):
        return f"/bin/{name}" if name in installed else None

    if answering:
        assert container_program(which, run) == taken
    else:
        with pytest.raises(ConfigError, match=f"{taken}(.|\n)*install one"):
            container_program(which, run)


def test_an_index_lists_its_processors_without_attestations():
    index = {
        "manifests": [
            {"platform": {"architecture": "amd64"}},
            {"platform": {"architecture": "unknown"}},
        ]
    }
    assert architectures_of_index(index) == {"amd64"}


def test_a_program_that_fails_says_what_it_said():
    with pytest.raises(CommandFailed, match="no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="gh-not-here is not installed"):
        run(["gh-not-here"])


def test_standard_input_reaches_the_program():
    assert run(["cat"], "secret") == "secret"
