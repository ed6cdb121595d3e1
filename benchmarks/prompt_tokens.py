"""How many tokens the prompts of the `code` strategy take, with the Nets of an nn-dataset release as the pool.

    python benchmarks/prompt_tokens.py nn_dataset-2.1.2-py3-none-any.whl

Prints, for each number of snippets, the tokens of SmolLM2's tokenizer over 20 seeds, what the budget kept out, and whether every
prompt stays within 16,000 tokens.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import lemur_caption
from lemur_caption.generator import load
from lemur_caption.prompt import encoder_families, released_pool, sample_snippets
from lemur_caption.prompt.code_prompt import code_prompt

BUDGET = 16_000
NETS = Path(lemur_caption.__file__).parent / "lemur_files/nn"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path, help="the wheel of an nn-dataset release, or its folder")
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    pool, count = released_pool(arguments.release), load("smollm2").count_tokens
    print(f"{len(pool)} classification Nets in the pool, {arguments.seeds} seeds, budget {BUDGET} tokens")
    for baseline in ("CaptionLSTM", "CaptionTransformer"):
        source = (NETS / f"{baseline}.py").read_text(encoding="utf-8")
        for k in (1, 5, 8, 10):
            tokens, dropped = [], 0
            for seed in range(arguments.seeds):
                prompt = code_prompt(
                    baseline_name=baseline,
                    baseline_source=source,
                    baseline_score=0.5,
                    snippets=sample_snippets(pool, k, seed, exclude=encoder_families(source)),
                    size="full",
                    budget_tokens=BUDGET,
                    count_tokens=count,
                )
                tokens.append(count(prompt.system) + count(prompt.user))
                dropped += bool(prompt.dropped)
            middle = statistics.median(tokens)
            print(f"{baseline:19} k={k:2}: median {middle:6.0f}, most {max(tokens)}, {dropped} prompts cut")
            assert max(tokens) <= BUDGET, f"a prompt has {max(tokens)} tokens, the budget is {BUDGET}"


if __name__ == "__main__":
    main()
