"""What a run will cost, and what it did: every line with how it comes about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ocrlabel.aws.prices import Price, Prices
from ocrlabel.aws.queues import Job

# Per image, at most: one read of the image; an ask before and a journal after each answer.
S3_GETS_PER_IMAGE: Final = 1.2
S3_PUTS_PER_IMAGE: Final = 2.2
LOG_BYTES_PER_IMAGE: Final = 400
IMAGE_GB: Final = 0.2  # compressed, in ECR


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
            for attempt in job.tries:
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
