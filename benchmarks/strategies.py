"""How many of N candidates are sound Nets, by strategy and number of snippets, from one language model in one run.

    python benchmarks/strategies.py --llm smollm2 --n 20 --snippets 5 10 --answer-tokens 1200

Prints, for each strategy and k, the sound Nets, the outcomes of the others, the rules broken most often, and the tokens that
the answers took. No Net is trained. `--out` keeps every candidate's trail.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from pathlib import Path

import lemur_caption
from lemur_caption import plugins
from lemur_caption.contract.validator import ValidatorPool
from lemur_caption.generator import load
from lemur_caption.prompt import released_pool, torchvision_pool
from lemur_caption.strategies import STRATEGIES, Request

NETS = Path(lemur_caption.__file__).parent / "lemur_files/nn"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", default="smollm2")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--snippets", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--strategies", nargs="+", default=["design", "blocks", "code"], choices=list(STRATEGIES))
    parser.add_argument("--baseline", default="CaptionLSTM")
    parser.add_argument("--answer-tokens", type=int, help="most tokens of an answer; default: the strategy's own")
    parser.add_argument("--repairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nets", type=Path, help="an nn-dataset release to take snippets from; default torchvision")
    parser.add_argument("--out", type=Path, help="folder for the trails")
    arguments = parser.parse_args()
    pool = released_pool(arguments.nets) if arguments.nets else torchvision_pool()
    source = (NETS / f"{arguments.baseline}.py").read_text(encoding="utf-8")
    generator = load(arguments.llm, plugins.generators())
    table = []
    with ValidatorPool() as validators:
        for name, k in itertools.product(arguments.strategies, arguments.snippets):
            request = Request(
                arguments.baseline,
                source,
                snippets=k,
                seed=arguments.seed,
                repairs=arguments.repairs,
                answer_tokens=None if name == "design" else arguments.answer_tokens,
            )
            started, candidates = time.perf_counter(), []
            requests = itertools.islice(request.every(), arguments.n)
            for candidate in STRATEGIES[name](generator, requests, pool, validators.validate):
                candidates.append(candidate)
                if arguments.out:
                    candidate.write(arguments.out / f"{name}-{k}")
                verdict = candidate.outcome.value if candidate.outcome else "sound"
                print(f"  {name} k={k} {len(candidates)}: {verdict} {candidate.detail}"[:160], flush=True)
            broken = Counter(
                rule for c in candidates for rule in {f["rule"] for f in c.findings if f["severity"] == "error"}
            )
            row = {
                "strategy": name,
                "snippets": k,
                "sound": sum(c.outcome is None for c in candidates),
                "of": len(candidates),
                "outcomes": dict(Counter(c.outcome.value for c in candidates if c.outcome)),
                "rules": dict(broken.most_common(5)),
                "cut_off": sum("cut off" in " ".join([c.detail, *(p.note for p in c.passes)]) for c in candidates),
                "tokens": sum(c.answer_tokens for c in candidates) // max(len(candidates), 1),
                "prompt_tokens": sum(c.prompt_tokens for c in candidates) // max(len(candidates), 1),
                "seconds": round(time.perf_counter() - started),
            }
            table.append(row)
            print(json.dumps(row), flush=True)
    print(f"\n{generator.name}, {arguments.n} candidates each, baseline {arguments.baseline}, seed {arguments.seed}")
    for row in table:
        print(
            f"{row['strategy']:7} k={row['snippets']:2}: {row['sound']} of {row['of']} sound, others {row['outcomes']}"
        )


if __name__ == "__main__":
    main()
