"""The contract never says no to a good Net: the baselines and rendered designs have no finding, whole contract.

`benchmarks/contract_speed.py --nets 300` holds as many random designs against it as anyone likes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from lemur_caption.architecture import random_design, render
from lemur_caption.contract.validator import ValidatorPool
from lemur_caption.lemur import registry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool() -> Iterator[ValidatorPool]:
    with ValidatorPool() as validators:
        yield validators


@pytest.mark.parametrize("name", registry.baseline_names())
def test_a_baseline_keeps_the_contract(pool: ValidatorPool, name: str) -> None:
    source = next(item.text for item in registry.items() if item.kind == "nn" and item.name == name)
    report = pool.validate(source)
    assert report.ok and report.findings == [], [finding.to_dict() for finding in report.findings]


@pytest.mark.parametrize("seed", range(16))
def test_a_random_design_keeps_the_contract(pool: ValidatorPool, seed: int) -> None:
    design = random_design(random.Random(f"sound/{seed}"))
    report = pool.validate(render(design))
    assert report.ok and report.findings == [], (design, [finding.to_dict() for finding in report.findings])
