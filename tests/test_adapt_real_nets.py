"""The 13 captioning Nets of nn-dataset 2.1.2, read from its wheel where LEMUR_212_WHEEL points to it."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from conftest import Run
from lemur_caption.source.adapt import adapt
from old_net_parts import names

WHEEL = os.environ.get("LEMUR_212_WHEEL")
needs_wheel = pytest.mark.skipif(not WHEEL, reason="LEMUR_212_WHEEL does not point to the wheel of nn-dataset 2.1.2")


def real_nets() -> dict[str, str]:
    with zipfile.ZipFile(WHEEL or "") as wheel:
        folders = {
            name.split("/")[4] for name in wheel.namelist() if name.startswith("ab/nn/stat/train/img-captioning_")
        }
        found = sorted(folder.rpartition("_")[2] for folder in folders)
        return {name: wheel.read(f"ab/nn/nn/{name}.py").decode("utf-8") for name in found}


@needs_wheel
def test_the_real_nets_are_adapted_and_stay_so() -> None:
    sources = real_nets()
    assert len(sources) == 13
    for name, source in sources.items():
        once = adapt(source, random_weights=True)
        assert once.refusals == [], name
        assert "learn-returns" in names(once), name
        assert adapt(once.source, random_weights=True).source == once.source, name


@needs_wheel
@pytest.mark.slow
def test_at_least_12_real_nets_pass_the_lenient_contract() -> None:
    from lemur_caption.contract.validator import ValidatorPool, validate

    with ValidatorPool() as pool:
        reports = {
            name: validate(adapt(source, random_weights=True).source, profile="lenient", timeout_s=600, pool=pool)
            for name, source in real_nets().items()
        }
    failed = {name: [str(finding) for finding in report.findings] for name, report in reports.items() if not report.ok}
    assert len(failed) <= 1, failed


@needs_wheel
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least", "most"), [("stock", 0, 0), ("adapted", 12, 13)])
def test_how_many_lemur_trains(kind: str, least: int, most: int, run: Run, small_shapes: Path, tmp_path: Path) -> None:
    """One epoch each through LEMUR's `check_nn`: none of the Nets as they are, nearly all once adapted."""
    files = []
    for name, source in real_nets().items():
        files.append(tmp_path / f"{name}.py")
        files[-1].write_text(adapt(source, random_weights=True).source if kind == "adapted" else source, "utf-8")
    options = ["--contract", "off", "--epochs", 1, "--batch", 16, "--data", small_shapes, "--offline", "--json"]
    finished = run("train", *files, *options)
    outcomes = {result["name"]: (result["outcome"], result["detail"]) for result in json.loads(finished.stdout)}
    assert len(outcomes) == 13, finished.stderr[-2000:]
    trained = [name for name, (outcome, _) in outcomes.items() if outcome == "trained"]
    assert least <= len(trained) <= most, outcomes
