"""Which proxy a message names, and that it gives no password away."""

from __future__ import annotations

import pytest

from ocrlabel.proxies import through_proxy

S3 = "https://s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("url", "environment", "named"),
    [
        (S3, {"HTTPS_PROXY": "http://p:3128"}, "HTTPS_PROXY=http://p:3128"),
        (S3, {"https_proxy": "http://me:pw@p:3128/"}, "https_proxy=http://p:3128/"),
        (S3, {"HTTPS_PROXY": "p:3128"}, "HTTPS_PROXY=http://p:3128"),
        (S3, {"HTTPS_PROXY": "me:pw@p:3128"}, "HTTPS_PROXY=http://p:3128"),
        (S3, {"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, "ALL_PROXY=http://p:1"),
        (S3, {"HTTPS_PROXY": " ", "all_proxy": "http://p:1"}, "all_proxy=http://p:1"),
        (S3, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "upstage.ai"}, "HTTPS_PROXY=http://p:1"),
        ("http://minio.lan:9000", {"HTTP_PROXY": "http://p:1"}, "HTTP_PROXY=http://p:1"),
    ],
)
def test_the_proxy_on_the_way_is_named_with_its_variable(url, environment, named):
    assert through_proxy(url, environment) == f"through the proxy {named}"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HTTP_PROXY": "http://p:1"},
        {"HTTPS_PROXY": ""},
        {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost,.amazonaws.com"},
        {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"},
        {"MY_PROXY_SETTINGS": "http://p:1", "PROXY": "http://p:1"},
    ],
)
def test_where_none_is_on_the_way_nothing_is_said(environment):
    assert through_proxy(S3, environment) == ""
