"""The documentation says what the code says."""

from __future__ import annotations

import re
import subprocess
import sys

from conftest import REPOSITORY
from lemur_caption.contract import RULES


def test_the_contract_page_is_made_of_the_rules() -> None:
    page = (REPOSITORY / "docs" / "contract.md").read_text(encoding="utf-8")
    pages = subprocess.run(
        [sys.executable, "-m", "lemur_caption", "rule", "--pages"], capture_output=True, text=True, check=True
    ).stdout
    nested = re.sub(r"^# ", "### ", re.sub(r"^## ", "#### ", pages, flags=re.M), flags=re.M)
    assert page.endswith(nested), "renew the rules of docs/contract.md from `lemur-caption rule --pages`"
    assert all(rule in nested for rule in RULES)


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
