"""What a run will cost, and what it did cost: every line with how it comes about.

`listed` has the stored prices of one region, each with its source and date; `live` takes those that
AWS tells now. A price that neither knows is unknown, and stays so: no other stands in its place.
`Compute` is machine time, planned or used. `ocr`, `compute_choices` and `around` multiply the two
into `CostLine`s; `total` adds them, and `comparison` sets the machines side by side.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

from ocrlabel.aws.jobs import Job
from ocrlabel.aws.session import Aws, AwsRefused, translated
from ocrlabel.options import PRICE_DATE, PRICE_PER_PAGE_USD, PRICE_SOURCE
from ocrlabel.wording import percent, usd

# Per image, at most: one read of the image; an ask before and a journal after each answer.
S3_GETS_PER_IMAGE: Final = 1.2
S3_PUTS_PER_IMAGE: Final = 2.2
LOG_BYTES_PER_IMAGE: Final = 400
IMAGE_GB: Final = 0.2  # compressed, in ECR
LISTED_REGION: Final = "us-east-1"
_FARGATE = "aws.amazon.com/fargate/pricing, us-east-1, read by fortem.dev, 2026-06"
_S3 = "c3x.dev, S3 request fees explained, us-east-1, 2026-11-28"
ARM_FARGATE: Final = {"fargate_vcpu_h": 0.03238, "fargate_gb_h": 0.00356}
ON_DEMAND: Final = "Fargate on demand"
FARGATE_SPOT: Final = "Fargate Spot"
EC2_SPOT: Final = "EC2 Spot"
# all that AWS says of it but on its page, where the price of the day stands
FARGATE_SPOT_SAVES: Final = "up to 70 %"
_NO_SPOT = "not stored; AWS says up to 70 % off (aws.amazon.com/fargate/pricing, 2026-11-28)"
_LARGE: Final = {
    "X86_64": ["c7i.large", "m7i.large", "c6i.large", "c6a.large", "m6a.large"],
    "ARM64": ["c7g.large", "m7g.large", "c6g.large", "m6g.large"],
}
_VCPUS_OF_LARGE: Final = 2
_REGION_PREFIX = re.compile(r"\A[A-Z]+[0-9]+-")
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in USD for a unit, its source and date; None where it is unknown, and why."""

    usd: float | None
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Prices:
    """All prices of a run: as stored, those of us-east-1."""

    fargate_vcpu_h: Price = Price(0.04048, "vCPU-hour", _FARGATE)
    fargate_gb_h: Price = Price(0.004445, "GB-hour", _FARGATE)
    fargate_spot_vcpu_h: Price = Price(None, "vCPU-hour", _NO_SPOT)
    fargate_spot_gb_h: Price = Price(None, "GB-hour", _NO_SPOT)
    ec2_spot_vcpu_h: Price = Price(None, "vCPU-hour", "EC2 tells it: ask without --offline")
    ipv4_h: Price = Price(0.005, "address-hour", "AWS, in trailofbits/algo#14644, 2024-02")
    s3_put: Price = Price(0.005 / 1000, "request", _S3)
    s3_get: Price = Price(0.0004 / 1000, "request", _S3)
    logs_gb: Price = Price(0.50, "GB", "c3x.dev, CloudWatch Logs, us-east-1, 2026-06")
    secret_month: Price = Price(
        0.40, "secret-month", "aws.amazon.com/secrets-manager/pricing, 2026-09-20"
    )
    ecr_gb_month: Price = Price(0.10, "GB-month", "cloudburn.io, ECR, us-east-1, 2026-03")
    page: Price = Price(PRICE_PER_PAGE_USD, "page", f"{PRICE_SOURCE}, {PRICE_DATE}")


def listed(architecture: str, region: str = LISTED_REGION) -> Prices:
    """What is stored: in another region than that one AWS's prices are unknown."""
    prices = Prices()
    if region != LISTED_REGION:
        unknown = {
            name: Price(None, getattr(prices, name).unit, f"no price of {region} is stored")
            for name in (each.name for each in fields(prices))
            if name != "page"
        }
        return replace(prices, **unknown)
    own = ARM_FARGATE if architecture == "ARM64" else {}
    return replace(
        prices, **{name: replace(getattr(prices, name), usd=amount) for name, amount in own.items()}
    )


def live(aws: Aws, architecture: str) -> Prices:
    """The same with what AWS says now."""
    prices = listed(architecture, aws.region)
    today = datetime.fromtimestamp(aws.now_s(), tz=UTC).date().isoformat()
    try:
        found = _fargate(aws, architecture)
    except AwsRefused:
        found = {}
    for name, amount in found.items():
        source = f"Price List API, {aws.region}, {today}"
        prices = replace(prices, **{name: Price(amount, getattr(prices, name).unit, source)})
    try:
        spot, source = _spot(aws, architecture), f"DescribeSpotPriceHistory, {aws.region}, {today}"
    except AwsRefused:
        spot, source = None, "AWS does not tell it to this user: ec2:DescribeSpotPriceHistory"
    return replace(prices, ec2_spot_vcpu_h=Price(spot, "vCPU-hour", source))


def _fargate(aws: Aws, architecture: str) -> dict[str, float]:
    filters = [
        {"Type": "TERM_MATCH", "Field": "servicecode", "Value": "AmazonECS"},
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": aws.region},
    ]
    with translated("read prices"):
        pages = aws.client("pricing").get_paginator("get_products")
        texts = pages.paginate(ServiceCode="AmazonECS", Filters=filters).search("PriceList")
        return fargate_prices(map(json.loads, texts), architecture)


def fargate_prices(products: Iterable[Mapping[str, Any]], architecture: str) -> dict[str, float]:
    """USD per vCPU-hour and GB-hour among a price list's products, by their usage types.

    Spot has usage types of its own (USE1-SpotUsage-Fargate-...); the list need not have them.
    """
    arm = "ARM-" if architecture == "ARM64" else ""
    endings = {
        f"{usage}Fargate-{arm}{unit}": f"fargate_{spot}{name}"
        for usage, spot in (("SpotUsage-", "spot_"), ("", ""))
        for unit, name in (("vCPU-Hours:perCPU", "vcpu_h"), ("GB-Hours", "gb_h"))
    }
    found: dict[str, float] = {}
    for product in products:
        # the region stands before it, as USE1-; us-east-1 may have none
        usage = str(product["product"]["attributes"].get("usagetype", ""))
        name = endings.get(_REGION_PREFIX.sub("", usage))
        if name is None:
            continue
        for term in product["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                if amount := float(dimension["pricePerUnit"].get("USD", 0)):
                    found[name] = amount
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
    """One item in USD. how: quantity and unit price; bound: the true amount is this or less.

    usd None: nobody knows.
    """

    item: str
    usd: float | None
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
    """The same machine time on Fargate, Fargate Spot and EC2 Spot."""
    address = _line("public IPv4", used.hours, prices.ipv4_h)

    def fargate(vcpu: Price, memory: Price) -> list[CostLine]:
        parts = [_line("vCPUs", used.vcpu_hours, vcpu), _line("memory", used.gb_hours, memory)]
        return [*parts, address]

    return {
        ON_DEMAND: fargate(prices.fargate_vcpu_h, prices.fargate_gb_h),
        FARGATE_SPOT: fargate(prices.fargate_spot_vcpu_h, prices.fargate_spot_gb_h),
        EC2_SPOT: [_line("vCPUs", used.vcpu_hours, prices.ec2_spot_vcpu_h), address],
    }


def comparison(used: Compute, prices: Prices) -> list[tuple[str, str, str, str]]:
    """Machines, USD, what they save against on demand, and where the price is from."""
    choices = compute_choices(used, prices)
    by_vcpu = (prices.fargate_vcpu_h, prices.fargate_spot_vcpu_h, prices.ec2_spot_vcpu_h)
    full = total(choices[ON_DEMAND])
    rows = []
    for (name, lines), price in zip(choices.items(), by_vcpu, strict=True):
        whole = total(lines)
        saving = FARGATE_SPOT_SAVES if name == FARGATE_SPOT else UNKNOWN
        if not whole.unknown and not full.unknown and full.usd:
            saving = percent(1 - whole.usd / full.usd, 0) if name != ON_DEMAND else "-"
        amount = UNKNOWN if whole.unknown else f"{whole.usd:,.4f}"
        rows.append((name, amount, saving, price.source))
    return rows


def around(images: int, prices: Prices) -> list[CostLine]:
    """Requests and logs, bounded by image, and what is paid by the month."""
    return [
        _line("S3 writes and lists", images * S3_PUTS_PER_IMAGE, prices.s3_put, bound=True),
        _line("S3 reads", images * S3_GETS_PER_IMAGE, prices.s3_get, bound=True),
        _line("logs", images * LOG_BYTES_PER_IMAGE / 1e9, prices.logs_gb, bound=True),
        _line("secret", 1, prices.secret_month),
        _line("image in ECR", IMAGE_GB, prices.ecr_gb_month),
    ]


def ocr(pages: int, prices: Prices, page_usd: float | None = None) -> CostLine:
    """The OCR bill. page_usd 0 for a local engine."""
    price = prices.page
    if page_usd is not None:
        price = Price(page_usd, "page", "given")
    return _line("OCR", pages, price)


def cap_notice(cap_usd: float | None, rows: int, page_usd: float) -> str:
    """That the cap on money ends the run before its last page; "" where it does not."""
    estimate_usd = rows * page_usd
    if cap_usd is None or cap_usd >= estimate_usd:
        return ""
    pages = math.floor(cap_usd / page_usd + 1e-9)
    return (
        f"--max-cost {usd(cap_usd)} is less than the estimate for OCR, {usd(estimate_usd)}: about"
        f" {pages:,} of {rows:,} pages will be labelled, then the job stops with exit status 5."
        " Nothing that was paid for is lost: partial tables are written, and the same dataset with"
        " --resume and a higher --max-cost goes on from there."
    )


@dataclass(frozen=True, slots=True)
class Total:
    """A sum. bound: the true one is this or less; unknown: the items whose price nobody knows."""

    usd: float
    bound: bool = False
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        amount = f"{'at most ' if self.bound else ''}${self.usd:,.4f}"
        if not self.unknown:
            return amount
        return f"{amount}, without {', '.join(self.unknown)}: at a price that is {UNKNOWN}"


def total(lines: Sequence[CostLine]) -> Total:
    """The sum of what is known."""
    return Total(
        sum(line.usd or 0.0 for line in lines),
        any(line.bound for line in lines),
        tuple(line.item for line in lines if line.usd is None),
    )


def _line(item: str, quantity: float, price: Price, *, bound: bool = False) -> CostLine:
    article = "an" if price.unit[0] in "aeiou" else "a"
    if price.usd is None:
        how = f"{_written(quantity)} {price.unit}s; {price.source}"
        return CostLine(item, None, how)
    how = f"{_written(quantity)} x ${_written(price.usd)} {article} {price.unit}"
    return CostLine(item, quantity * price.usd, f"{how}; {price.source}", bound)


def _written(amount: float) -> str:
    """7,198, 0.303 or 0.0000004: as few places as tell it, and never 4e-07."""
    if amount >= 100:
        return f"{amount:,.0f}"
    places = 3 if amount == 0 else max(0, 3 - math.floor(math.log10(amount)))
    return f"{amount:.{places}f}".rstrip("0").rstrip(".")
