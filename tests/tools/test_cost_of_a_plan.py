"""What the module costs, from Terraform's own plan of the example."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tools import cost, estimate, scale

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.terraform


def planned(example: Path) -> dict[str, Any]:
    """A plan made here."""
    scratch = ROOT / ".cache" / f"cost-{os.getpid()}"  # two tests may run at a time
    try:
        return cost.plan_of(example, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def staging() -> dict[str, Any]:
    return planned(cost.STAGING)


@pytest.fixture(scope="module")
def bill(staging: dict[str, Any]) -> cost.Bill:
    """CostError for a resource whose type is neither priced nor free."""
    return cost.Bill.of(staging, cost.Book.read())


@pytest.fixture(scope="module")
def of_environment() -> cost.Bill:
    return cost.Bill.of(planned(cost.ENVIRONMENT), cost.Book.read())


def test_asleep_the_module_stays_under_a_dollar_a_month_without_free_tier(bill: cost.Bill) -> None:
    assert 0.5 < bill.asleep < cost.LIMIT_ASLEEP_USD
    assert bill.dashboards == pytest.approx(3.0)


def test_the_estimate_takes_off_no_less_than_the_module_costs(bill: cost.Bill) -> None:
    assert bill.asleep <= estimate.MODULE_ASLEEP_USD
    assert bill.awake <= estimate.MODULE_AWAKE_USD


def test_the_estimate_of_the_environment_agrees_with_its_plan(of_environment: cost.Bill) -> None:
    book = of_environment.book
    settings = estimate.Settings(
        services=(estimate.Size(),) * 3,
        public_ip=True,
        databases=(book.prices["rds_t4g_micro_hour"],),
        target_groups=2,
        queues=1,
    )
    whole = (0.0, book.hours * estimate.HOUR)
    month = estimate.Outcome(5, *whole, asleep=[whole], stopped=[whole])
    module = settings.module_month(book, asleep=1)
    assert month.saved(book, settings) + module == pytest.approx(
        of_environment.saved_hour * book.hours, rel=0.001
    )
    assert of_environment.asleep <= module < of_environment.asleep + 0.10
    assert of_environment.awake <= settings.module_month(book, asleep=0)


def test_three_services_and_a_database_save_more_than_one(
    bill: cost.Bill, of_environment: cost.Bill
) -> None:
    assert of_environment.saved_hour > 3 * bill.saved_hour
    assert of_environment.asleep < 2 * bill.asleep


def test_the_documents_tell_the_cost_of_these_plans(
    bill: cost.Bill, of_environment: cost.Bill
) -> None:
    readme = (ROOT / "README.md").read_text()
    block = readme.split("<!-- cost -->\n")[1].split("\n<!-- /cost -->")[0]
    assert block == cost.readme_block(bill), "run `python -m tools.cost`"
    section = estimate.example_section(draw_it=False)
    assert (ROOT / "docs" / "evidence" / "cost.md").read_text() == cost.document(
        bill, of_environment, section
    ), "run `python -m tools.cost`"


def test_the_page_about_a_thousand_services_is_computed_from_this_plan(
    staging: dict[str, Any],
) -> None:
    page = scale.page(staging, cost.Book.read())
    assert scale.PAGE.read_text() == page, "run `python -m tools.scale --write`"
