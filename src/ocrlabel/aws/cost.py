"""What a run will cost, and what it did cost: every line with how it comes about.

`listed` has the stored prices of one region, as upper bounds; `live` replaces those that AWS
tells now. `Compute` is machine time, planned or used. `ocr`, `compute_choices` and `around`
multiply the two into `CostLine`s, each of which says quantity, unit price, source and date;
`total` and `in_all` add them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from ocrlabel.aws.jobs import Job
from ocrlabel.aws.session import Aws, AwsRefused, translated
from ocrlabel.options import PRICE_DATE, PRICE_PER_PAGE_USD, PRICE_SOURCE

# Per image, at most: one read of the image; an ask before and a journal after each answer.
S3_GETS_PER_IMAGE: Final = 1.2
S3_PUTS_PER_IMAGE: Final = 2.2
LOG_BYTES_PER_IMAGE: Final = 400
IMAGE_GB: Final = 0.2  # compressed, in ECR
LISTED_REGION: Final = "us-east-1"
_LIST = f"AWS's price pages, {LISTED_REGION}"
_KNOWN = f"as generally known, {LISTED_REGION}, not looked up"
_SEEN = "2026-11-23"
ARM_FARGATE: Final = {"fargate_vcpu_h": 0.03238, "fargate_gb_h": 0.00356}
_LARGE: Final = {
    "X86_64": ["c7i.large", "m7i.large", "c6i.large", "c6a.large", "m6a.large"],
    "ARM64": ["c7g.large", "m7g.large", "c6g.large", "m6g.large"],
}
_VCPUS_OF_LARGE: Final = 2


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in USD for a unit. bound: the true price is this or lower."""

    usd: float
    unit: str
    source: str
    date: str
    bound: bool = False


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
    page: Price = field(default=Price(PRICE_PER_PAGE_USD, "page", PRICE_SOURCE, PRICE_DATE))


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


@dataclass(frozen=True, slots=True)
class CostLine:
    """One item in USD. how: quantity and unit price; bound: the true amount is this or less."""

    item: str
    usd: float
    how: str
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Compute:
    """Machine time of a run."""

    vcpu_hours: float
    gb_hours: float
    hours: float

    @classmethod
    def planned(cls, seconds: float, workers: int, vcpu: float, memory_mib: float) -> Compute:
        """Of workers that all run for so many seconds."""
        hours = seconds * workers / 3600
        return cls(hours * vcpu, hours * memory_mib / 1024, hours)

    @classmethod
    def used(cls, jobs: Iterable[Job], now_s: float) -> Compute:
        """Of every attempt of these jobs; of one that still runs, until now."""
        vcpu = gb = total = 0.0
        for job in jobs:
            for attempt in job.attempts:
                if attempt.started_s is None:
                    continue
                end_s = attempt.stopped_s if attempt.stopped_s is not None else now_s
                hours = max(0.0, end_s - attempt.started_s) / 3600
                total += hours
                vcpu += hours * job.vcpu
                gb += hours * job.memory_mib / 1024
        return cls(vcpu, gb, total)


def compute_choices(used: Compute, prices: Prices) -> dict[str, list[CostLine]]:
    """The same machine time on Fargate Spot, Fargate and EC2 Spot."""
    fargate = [
        _line("vCPUs", used.vcpu_hours, prices.fargate_vcpu_h),
        _line("memory", used.gb_hours, prices.fargate_gb_h),
    ]
    address = _line("public IPv4", used.hours, prices.ipv4_h)
    # no interface gives a price of Fargate Spot: it is 50 to 70 % lower, and never higher
    spot = [CostLine(line.item, line.usd, f"{line.how}, on demand", bound=True) for line in fargate]
    return {
        "Fargate Spot": [*spot, address],
        "Fargate": [*fargate, address],
        "EC2 Spot": [_line("vCPUs", used.vcpu_hours, prices.ec2_spot_vcpu_h), address],
    }


def around(
    images: int, prices: Prices, *, gets: float | None, puts: float | None
) -> list[CostLine]:
    """Requests, logs, and what is paid by the month; uncounted requests are bounded by image."""
    guessed = gets is None or puts is None
    gets = images * S3_GETS_PER_IMAGE if gets is None else gets
    puts = images * S3_PUTS_PER_IMAGE if puts is None else puts
    return [
        _line("S3 writes and lists", puts, prices.s3_put, bound=guessed),
        _line("S3 reads", gets, prices.s3_get, bound=guessed),
        _line("logs", images * LOG_BYTES_PER_IMAGE / 1e9, prices.logs_gb, bound=True),
        _line("secret", 1, prices.secret_month),
        _line("image in ECR", IMAGE_GB, prices.ecr_gb_month),
    ]


def ocr(pages: int, prices: Prices, page_usd: float | None = None) -> CostLine:
    """The OCR bill. page_usd 0 for a local engine."""
    price = prices.page
    if page_usd is not None:
        price = Price(page_usd, "page", "given", "")
    return _line("OCR", pages, price)


def total(lines: Sequence[CostLine]) -> tuple[float, bool]:
    """The sum, and whether any part of it is an upper bound."""
    return sum(line.usd for line in lines), any(line.bound for line in lines)


def dollars(amount: float, bound: bool) -> str:
    """A sum of `total` or `in_all`, marked where it is an upper bound."""
    return f"{'at most ' if bound else ''}${amount:,.4f}"


def in_all(
    choices: Mapping[str, Sequence[CostLine]], others: Sequence[CostLine]
) -> dict[str, tuple[float, bool]]:
    """The whole sum for each choice of machines, and whether it is an upper bound."""
    return {name: total([*lines, *others]) for name, lines in choices.items()}


def _line(item: str, quantity: float, price: Price, *, bound: bool = False) -> CostLine:
    source = f"; {price.source}, {price.date}" if price.date else ""
    article = "an" if price.unit[0] in "aeiou" else "a"
    how = f"{_written(quantity)} x ${_written(price.usd)} {article} {price.unit}{source}"
    return CostLine(item, quantity * price.usd, how, bound or price.bound)


def _written(amount: float) -> str:
    """7,198, 0.303 or 0.0000004: as few places as tell it, and never 4e-07."""
    if amount >= 100:
        return f"{amount:,.0f}"
    places = 3 if amount == 0 else max(0, 3 - math.floor(math.log10(amount)))
    return f"{amount:.{places}f}".rstrip("0").rstrip(".")
