"""What an hour, a request and a page cost: live where AWS answers, else an upper bound."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from ocrlabel.aws.session import Aws, AwsRefused, translated

PAGE_USD: Final = 0.0015


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in USD for a unit. bound: the true price is this or lower."""

    usd: float
    unit: str
    source: str
    date: str
    bound: bool = False


LISTED_REGION: Final = "us-east-1"
_LIST = f"AWS's price pages, {LISTED_REGION}"
_KNOWN = f"as generally known, {LISTED_REGION}, not looked up"
_SEEN = "2026-11-23"


@dataclass(frozen=True, slots=True)
class Prices:
    """All prices of a run. Spot prices float, so without a live one on-demand bounds them."""

    fargate_vcpu_h: Price = field(default=Price(0.04048, "vCPU-hour", _LIST, _SEEN, bound=True))
    fargate_gb_h: Price = field(default=Price(0.004445, "GB-hour", _LIST, _SEEN, bound=True))
    ec2_spot_vcpu_h: Price = field(
        default=Price(0.0513, "vCPU-hour", f"c7a.large on demand, {_KNOWN}", _SEEN, bound=True)
    )
    ipv4_h: Price = field(default=Price(0.005, "address-hour", _KNOWN, _SEEN))
    s3_put: Price = field(default=Price(0.005 / 1000, "request", _KNOWN, _SEEN))
    s3_get: Price = field(default=Price(0.0004 / 1000, "request", _KNOWN, _SEEN))
    logs_gb: Price = field(default=Price(0.50, "GB", _KNOWN, _SEEN))
    secret_month: Price = field(default=Price(0.40, "secret-month", _KNOWN, _SEEN))
    ecr_gb_month: Price = field(default=Price(0.10, "GB-month", _KNOWN, _SEEN))
    page: Price = field(
        default=Price(PAGE_USD, "page", "a third party's reading of the price page", "2026-09-11")
    )


ARM_FARGATE: Final = {"fargate_vcpu_h": 0.03238, "fargate_gb_h": 0.00356}


def listed(architecture: str) -> Prices:
    """Upper bounds for when AWS cannot be asked."""
    prices = Prices()
    if architecture != "ARM64":
        return prices
    return replace(
        prices,
        fargate_vcpu_h=replace(prices.fargate_vcpu_h, usd=ARM_FARGATE["fargate_vcpu_h"]),
        fargate_gb_h=replace(prices.fargate_gb_h, usd=ARM_FARGATE["fargate_gb_h"]),
    )


def live(aws: Aws, architecture: str) -> Prices:
    """The same with what AWS says now; what it does not say stays an upper bound."""
    prices = listed(architecture)
    today = datetime.fromtimestamp(aws.now_s(), tz=UTC).date().isoformat()
    try:
        found = _fargate(aws, architecture)
    except AwsRefused:
        found = {}
    for name, usd in found.items():
        price = Price(usd, getattr(prices, name).unit, f"Price List API, {aws.region}", today)
        prices = replace(prices, **{name: price})
    try:
        spot = _spot(aws, architecture)
    except AwsRefused:
        spot = None
    if spot is not None:
        price = Price(spot, "vCPU-hour", f"DescribeSpotPriceHistory, {aws.region}", today)
        prices = replace(prices, ec2_spot_vcpu_h=price)
    return prices


def _fargate(aws: Aws, architecture: str) -> dict[str, float]:
    filters = [
        {"Type": "TERM_MATCH", "Field": "servicecode", "Value": "AmazonECS"},
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": aws.region},
    ]
    with translated("read prices"):
        pages = aws.client("pricing").get_paginator("get_products")
        products = [
            json.loads(text)
            for page in pages.paginate(ServiceCode="AmazonECS", Filters=filters)
            for text in page["PriceList"]
        ]
    return fargate_prices(products, architecture)


def fargate_prices(products: Iterable[Mapping[str, Any]], architecture: str) -> dict[str, float]:
    """USD per vCPU-hour and GB-hour among a price list's products, by their usage types."""
    arm = "ARM-" if architecture == "ARM64" else ""
    endings = {
        f"Fargate-{arm}vCPU-Hours:perCPU": "fargate_vcpu_h",
        f"Fargate-{arm}GB-Hours": "fargate_gb_h",
    }
    found: dict[str, float] = {}
    for product in products:
        usage = str(product["product"]["attributes"].get("usagetype", ""))
        name = next((name for ending, name in endings.items() if usage.endswith(ending)), None)
        if name is None:
            continue
        for term in product["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                usd = float(dimension["pricePerUnit"].get("USD", 0))
                if usd:
                    found[name] = usd
    return found


_LARGE: Final = {
    "X86_64": ["c7i.large", "m7i.large", "c6i.large", "c6a.large", "m6a.large"],
    "ARM64": ["c7g.large", "m7g.large", "c6g.large", "m6g.large"],
}
_VCPUS_OF_LARGE: Final = 2


def _spot(aws: Aws, architecture: str) -> float | None:
    with translated("read spot prices"):
        answer = aws.client("ec2").describe_spot_price_history(
            InstanceTypes=_LARGE[architecture],
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.fromtimestamp(aws.now_s(), tz=UTC),
        )
    found = sorted(float(each["SpotPrice"]) for each in answer["SpotPriceHistory"])
    # the middle one: Batch takes what is cheap and not about to be taken back
    return found[len(found) // 2] / _VCPUS_OF_LARGE if found else None
