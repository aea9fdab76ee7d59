from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocrlabel.aws.cost import (
    Compute,
    around,
    compute_choices,
    fargate_prices,
    in_all,
    listed,
    ocr,
    total,
)
from ocrlabel.aws.jobs import Job, JobAttempt

GUIDE = 3272
PAGE = (Path(__file__).parents[3] / "docs" / "aws.md").read_text(encoding="utf-8")


def test_the_guides_images_cost_more_to_read_than_to_compute():
    used = Compute.planned(GUIDE / 3, 1, 1, 2048)
    spot, bound = total(compute_choices(used, listed("X86_64"))["Fargate Spot"])
    assert ocr(GUIDE, listed("X86_64")).usd == pytest.approx(4.908)
    assert bound
    assert spot == pytest.approx(0.0165, abs=0.001)


def test_the_page_shows_the_amounts_that_the_command_says():
    prices = listed("X86_64")
    choices = compute_choices(Compute.planned(GUIDE / 3, 1, 1, 2048), prices)
    rest = around(GUIDE, prices, gets=None, puts=None)
    amounts = [
        (ocr(GUIDE, prices).usd, False),
        *(total(choices[name]) for name in ("Fargate Spot", "Fargate", "EC2 Spot")),
        total(rest[:3]),
        total(rest[3:]),
    ]
    table = PAGE[PAGE.index("## What it costs") : PAGE.index("The guide's $0.04")]
    shown = re.findall(r"\| (at most )?(\d+\.\d\d) \|$", table, re.MULTILINE)
    assert shown == [("at most " if bound else "", f"{usd:.2f}") for usd, bound in amounts]
    assert "some three hundred times" in PAGE.replace("\n", " ")
    assert 250 < amounts[0][0] / amounts[1][0] < 350


def test_fargate_spot_is_marked_as_an_upper_bound_and_never_above_on_demand():
    choices = compute_choices(Compute(10, 20, 10), listed("X86_64"))
    assert all(line.bound for line in choices["Fargate Spot"][:2])
    assert total(choices["Fargate Spot"])[0] == total(choices["Fargate"])[0]


def test_every_line_says_how_it_comes_about_with_source_and_date():
    for line in [*around(GUIDE, listed("ARM64"), gets=None, puts=None), ocr(1, listed("ARM64"))]:
        assert " x $" in line.how
        assert "2026-" in line.how


@pytest.mark.parametrize("images", [1, GUIDE, 3_000_000])
def test_no_quantity_and_no_price_is_written_with_an_exponent(images):
    lines = [*around(images, listed("X86_64"), gets=None, puts=None), ocr(images, listed("X86_64"))]
    for line in lines:
        assert not re.search(r"\de[-+]?\d", line.how), line.how
    assert lines[0].how.startswith(
        f"{2.2 * images:,.4g} x $0.000005 a request" if images < 9999 else "6,600,000 x"
    )


def test_the_whole_is_the_sum_of_the_parts_for_each_choice_of_machines():
    prices = listed("X86_64")
    choices = compute_choices(Compute(10, 20, 10), prices)
    others = [ocr(GUIDE, prices), *around(GUIDE, prices, gets=1, puts=1)]
    sums = in_all(choices, others)
    assert list(sums) == ["Fargate Spot", "Fargate", "EC2 Spot"]
    for name, (amount, bound) in sums.items():
        assert amount == pytest.approx(total(choices[name])[0] + total(others)[0])
        assert bound


def test_arm_is_cheaper():
    assert listed("ARM64").fargate_vcpu_h.usd < listed("X86_64").fargate_vcpu_h.usd


def test_counted_requests_are_no_bound():
    put, get = around(10, listed("X86_64"), gets=10, puts=20)[:2]
    assert not put.bound
    assert get.usd == pytest.approx(10 * 0.0004 / 1000)


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
