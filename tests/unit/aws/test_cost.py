from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ocrlabel.aws.cost import (
    EC2_SPOT,
    FARGATE_SPOT,
    ON_DEMAND,
    UNKNOWN,
    Compute,
    Price,
    Total,
    around,
    cap_notice,
    comparison,
    compute_choices,
    fargate_prices,
    listed,
    ocr,
    total,
)
from ocrlabel.aws.jobs import Job, JobAttempt, local_seconds
from ocrlabel.options import PRICE_PER_PAGE_USD

GUIDE = 3272
PAGE = (Path(__file__).parents[3] / "docs" / "aws.md").read_text(encoding="utf-8")
COSTS = PAGE[PAGE.index("## What it costs") : PAGE.index("## The image")]


def test_the_guides_images_cost_more_to_read_than_to_compute():
    used = Compute.planned(GUIDE / 3, 1, 1, 2048)
    machines = total(compute_choices(used, listed("X86_64"))[ON_DEMAND])
    bill = ocr(GUIDE, listed("X86_64")).usd
    assert bill == pytest.approx(4.908)
    assert machines == Total(pytest.approx(0.0165, abs=0.0001))
    assert 250 < bill / machines.usd < 350


def test_the_page_shows_the_table_that_the_command_says():
    prices = listed("X86_64")
    local = local_seconds(100_000, "rapidocr", vcpu=2)
    small = comparison(Compute.planned(GUIDE / 3, 1, 1, 2048), prices)
    large = comparison(Compute.planned(local, 1, 2, 4096), prices)
    shown = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| (\w+)", COSTS, re.MULTILINE
    )
    assert shown[1:] == [
        (name, amount, more[1], saving, "dated" if amount != UNKNOWN else UNKNOWN)
        for (name, amount, saving, _), more in zip(small, large, strict=True)
    ]
    rest = around(GUIDE, prices)
    assert f"most ${total(rest[:3]).usd:.2f} for S3" in COSTS.replace("\n", " ")
    assert f"${total(rest[3:]).usd:.2f} a month" in COSTS
    tesseract = Compute.planned(local_seconds(100_000, "tesseract", vcpu=2), 1, 2, 4096)
    assert f"${comparison(tesseract, prices)[0][1]}" in COSTS


def test_no_spot_row_has_an_on_demand_price():
    full, fargate_spot, ec2_spot = comparison(Compute(10, 20, 10), listed("X86_64"))
    assert full[:3] == (ON_DEMAND, "0.5437", "-")
    assert fargate_spot[:3] == (FARGATE_SPOT, UNKNOWN, "up to 70 %")
    assert ec2_spot[:3] == (EC2_SPOT, UNKNOWN, UNKNOWN)


def test_a_spot_price_that_aws_tells_gives_the_saving():
    prices = replace(
        listed("X86_64"),
        fargate_spot_vcpu_h=Price(0.0125, "vCPU-hour", "told, 2026-11-28"),
        fargate_spot_gb_h=Price(0.0014, "GB-hour", "told, 2026-11-28"),
        ec2_spot_vcpu_h=Price(0.0171, "vCPU-hour", "told, 2026-11-28"),
    )
    _, fargate_spot, ec2_spot = comparison(Compute(10, 20, 10), prices)
    assert fargate_spot == (FARGATE_SPOT, "0.2030", "63%", "told, 2026-11-28")
    assert ec2_spot == (EC2_SPOT, "0.2210", "59%", "told, 2026-11-28")


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_of_a_region_without_stored_prices_nothing_but_the_page_has_a_price(architecture):
    prices = listed(architecture, "ap-northeast-2")
    known = {name.name: getattr(prices, name.name).usd for name in fields(prices)}
    assert {name for name, usd in known.items() if usd is not None} == {"page"}
    lines = around(GUIDE, prices)
    assert total(lines) == Total(0, unknown=tuple(line.item for line in lines))
    assert all("no price of ap-northeast-2 is stored" in line.how for line in lines)
    assert {row[1] for row in comparison(Compute(1, 1, 1), prices)} == {UNKNOWN}


def test_every_line_says_how_it_comes_about_with_source_and_date():
    for line in [*around(GUIDE, listed("ARM64")), ocr(1, listed("ARM64"))]:
        assert " x $" in line.how
        assert "2026-" in line.how


@pytest.mark.parametrize("images", [1, GUIDE, 3_000_000])
def test_no_quantity_and_no_price_is_written_with_an_exponent(images):
    lines = [*around(images, listed("X86_64")), ocr(images, listed("X86_64"))]
    for line in lines:
        assert not re.search(r"\de[-+]?\d", line.how), line.how
    assert lines[0].how.startswith(
        f"{2.2 * images:,.4g} x $0.000005 a request" if images < 9999 else "6,600,000 x"
    )


def test_the_whole_is_the_sum_of_the_parts_that_are_known_for_each_choice_of_machines():
    prices = listed("X86_64")
    choices = compute_choices(Compute(10, 20, 10), prices)
    others = [ocr(GUIDE, prices), *around(GUIDE, prices)]
    assert list(choices) == [ON_DEMAND, FARGATE_SPOT, EC2_SPOT]
    sums = {name: total([*lines, *others]) for name, lines in choices.items()}
    for name, whole in sums.items():
        assert whole.usd == pytest.approx(total(choices[name]).usd + total(others).usd)
    assert str(sums[ON_DEMAND]) == "at most $5.9099"
    assert str(sums[EC2_SPOT]) == "at most $5.4162, without vCPUs: at a price that is unknown"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            (4.90, GUIDE),
            "than the estimate for OCR, 4.9080 USD: about 3,266 of 3,272 pages will be labelled",
        ),
        ((0.0045, GUIDE), "--max-cost 0.0045 USD .* about 3 of 3,272 pages"),
        ((1.0, 1000), "about 666 of 1,000 pages"),
        ((1.0, 1000), "--resume and a higher --max-cost goes on"),
        ((1.0, 600), ""),
        ((4.908, GUIDE), ""),
        ((100, GUIDE), ""),
        ((None, GUIDE), ""),
    ],
    ids=str,
)
def test_a_cap_below_the_estimate_is_announced(given, told):
    notice = cap_notice(*given, PRICE_PER_PAGE_USD)
    assert re.search(told, notice) if told else notice == ""


def test_a_cap_does_not_end_what_costs_nothing():
    assert cap_notice(0.01, GUIDE, 0.0) == ""


def test_arm_is_cheaper():
    assert listed("ARM64").fargate_vcpu_h.usd < listed("X86_64").fargate_vcpu_h.usd


def test_a_local_engine_has_no_bill():
    assert ocr(GUIDE, listed("X86_64"), 0.0).usd == 0


def test_what_was_used_counts_every_attempt_and_one_that_runs():
    job = Job(
        "j",
        "n",
        "RUNNING",
        attempts=(
            JobAttempt(started_s=0, stopped_s=1800),
            JobAttempt(started_s=2000),
            JobAttempt(),
        ),
        vcpu=2,
        memory_mib=4096,
    )
    used = Compute.used([job], now_s=3800)
    assert (used.hours, used.vcpu_hours, used.gb_hours) == (1.0, 2.0, 4.0)


def product(usage: str, usd: str) -> dict[str, object]:
    return json.loads(
        json.dumps(
            {
                "product": {"attributes": {"usagetype": usage}},
                "terms": {
                    "OnDemand": {"t": {"priceDimensions": {"d": {"pricePerUnit": {"USD": usd}}}}}
                },
            }
        )
    )


def test_the_price_list_is_read_by_usage_type():
    products = [
        product("APN2-Fargate-vCPU-Hours:perCPU", "0.04656"),
        product("APN2-Fargate-GB-Hours", "0.00511"),
        product("APN2-Fargate-ARM-vCPU-Hours:perCPU", "0.03725"),
        product("APN2-Fargate-Windows-vCPU-Hours:perCPU", "9"),
        product("APN2-Fargate-EphemeralStorage-GB-Hours", "0.0001"),
    ]
    assert fargate_prices(products, "X86_64") == {
        "fargate_vcpu_h": 0.04656,
        "fargate_gb_h": 0.00511,
    }
    assert fargate_prices(products, "ARM64") == {"fargate_vcpu_h": 0.03725}


@pytest.mark.parametrize("region", ["", "USE1-", "APN2-"])
def test_a_spot_price_of_the_list_is_not_taken_for_on_demand(region):
    products = [
        product(f"{region}Fargate-vCPU-Hours:perCPU", "0.04"),
        product(f"{region}SpotUsage-Fargate-vCPU-Hours:perCPU", "0.012"),
        product(f"{region}SpotUsage-Fargate-GB-Hours", "0.0013"),
        product(f"{region}SpotUsage-Fargate-ARM-GB-Hours", "0.0011"),
    ]
    assert fargate_prices(products, "X86_64") == {
        "fargate_vcpu_h": 0.04,
        "fargate_spot_vcpu_h": 0.012,
        "fargate_spot_gb_h": 0.0013,
    }
    assert fargate_prices(products, "ARM64") == {"fargate_spot_gb_h": 0.0011}
