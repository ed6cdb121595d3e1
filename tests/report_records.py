"""Records to report on, made through the real store: what a search leaves behind, in five conditions."""

from __future__ import annotations

import random
from pathlib import Path

from lemur_caption.architecture.space import random_design
from lemur_caption.candidate import Candidate, Epoch, Outcome, Repair
from lemur_caption.report import Source
from lemur_caption.report.source import read
from lemur_caption.search.records import Records

SETTINGS = {"llm": "smollm2", "strategy": "design", "snippets": 5, "n": 24, "epochs": 3, "dataset": "shapes"}
SETTINGS |= {"metric": "bleu-4,cider-d", "transform": "norm_64", "batch": 32, "seed": 0, "feedback": "effects"}
EVIL = (
    "<img src=x onerror=alert(1)>\"'&{{7*7}}</script></style><script>alert(2)</script></title>|[x](javascript:alert(3))"
)
FINDING = {"rule": "LC304", "message": f"wrong {EVIL}", "hint": "mend it", "severity": "error"}


def epochs(*scores: float) -> list[Epoch]:
    return [Epoch(n, score, 3.0 / n, 3.3 / n, 10.0 * n, {"uid": str(n)}) for n, score in enumerate(scores, 1)]


def make(index: int, family: str = "C5C-CaptionLSTM", scores: tuple[float, ...] = (), **fields: object) -> Candidate:
    design = random_design(random.Random(index)).model_dump()
    fields = {"model": "SmolLM2", "strategy": "design", "design": design, "parameters": 200_000 + index} | fields
    candidate = Candidate(f"{family}-{index:032x}", family, "class Net: pass\n", **fields)
    candidate.seconds = {"model": 2.0, "training": 30.0}
    candidate.prompt_tokens, candidate.answer_tokens = 1000, 100
    if scores:
        candidate.finish(Outcome.TRAINED, "", epochs(*scores), 0.5)
    return candidate


def baselines(records: Records, run: int) -> None:
    for index, name, score in ((-1, "CaptionLSTM", 0.5), (-2, "CaptionTransformer", 0.4)):
        candidate = Candidate(name, "hand-made", "class Net: pass\n", parameters=600_000)
        candidate.finish(Outcome.TRAINED, "", epochs(0.1, score + 0.05, score))
        records.save(run, index, candidate, "ended")


def finished(root: Path, count: int) -> Source:
    """Runs of two strategies, with repairs, failures and captions; of one more candidates fail than of the other."""
    rng = random.Random(count)
    with Records.open(root) as records:
        for strategy, k, failing in (("design", 5, 5), ("code", 10, 4)):
            run = records.start_run(SETTINGS | {"strategy": strategy, "snippets": k, "n": count // 2})
            baselines(records, run)
            for index in range(count // 2):
                family = f"C{k}C-{rng.choice(('CaptionLSTM', 'CaptionTransformer'))}"
                scores = (rng.uniform(0, 0.3), rng.uniform(0.3, 0.5), rng.uniform(0.4, 0.6))
                candidate = make(1000 * run + index, family, strategy=strategy, snippets=["ResNet", "VGG"])
                if index % failing == 2:
                    candidate.findings = [FINDING | {"message": "takes five captions"}]
                    candidate.repairs = [Repair("mend", candidate.findings, "r", [], "class Net: ...\n")]
                    candidate.end(Outcome.CONTRACT, "LC304: takes five captions")
                else:
                    candidate.finish(Outcome.TRAINED, "", epochs(*scores), 0.5)
                said = [{"image": f"{n}.jpg", "caption": "a red square", "reference": "a circle"} for n in range(3)]
                samples = said if candidate.epochs else None
                records.save(run, index, candidate, "ended", quality=0.9, samples=samples)
            records.finish_run(run, "finished")
        return read(records, None)


def untrained(root: Path) -> Source:
    """Four candidates, none of which came to a Net that trains, and no baselines."""
    with Records.open(root) as records:
        run = records.start_run(SETTINGS)
        for index in range(4):
            candidate = make(index)
            candidate.findings = [FINDING | {"message": "takes five captions"}]
            candidate.end(Outcome.CONTRACT, "LC304: takes five captions")
            records.save(run, index, candidate, "ended")
        records.finish_run(run, "finished")
        return read(records, None)


def one(root: Path) -> Source:
    with Records.open(root) as records:
        run = records.start_run(SETTINGS | {"n": 1})
        records.save(run, 0, make(0, scores=(0.1, 0.2, 0.3)), "ended")
        records.finish_run(run, "finished")
        return read(records, None)


def killed(root: Path) -> Source:
    """A run that says `running`, which no process holds, with an epoch of the Net that it was training."""
    with Records.open(root) as records:
        run = records.start_run(SETTINGS)
        baselines(records, run)
        records.save(run, 0, make(0, scores=(0.1, 0.2, 0.6)), "ended")
        half = make(1)
        half.epochs = epochs(0.2)
        records.save(run, 1, half, "training")
        records.save(run, 2, make(2), "planned")
        return read(records, None)


def markup(root: Path) -> Source:
    """Markup wherever a record holds text."""
    with Records.open(root) as records:
        settings = SETTINGS | {"llm": EVIL, "strategy": EVIL, "dataset": EVIL, "metric": EVIL, "transform": EVIL}
        run = records.start_run(settings | {"data": EVIL, "feedback": EVIL, "seed": EVIL, "snippets": EVIL})
        baselines(records, run)
        for index in range(3):
            candidate = make(index, EVIL, (0.1, 0.2, 0.3), snippets=[EVIL], model=EVIL, strategy=EVIL)
            candidate.design = dict.fromkeys(("block", "decoder", "memory", "attention", "channel_attention"), EVIL)
            candidate.seconds[EVIL] = 1.0
            candidate.detail = EVIL
            candidate.findings = [dict.fromkeys(("rule", "message", "severity"), EVIL)]
            samples = [dict.fromkeys(("image", "caption", "reference"), EVIL)]
            records.save(run, index, candidate, "ended", samples=samples)
        return read(records, None)
