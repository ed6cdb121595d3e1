"""`report`: the tables say what the records hold, the page holds them all, and nothing in a record gets out of its cell."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from conftest import Run, assert_one_line
from lemur_caption.architecture.render import render
from lemur_caption.architecture.space import choices, random_design
from lemur_caption.candidate import Candidate, Outcome, Repair
from lemur_caption.cli import report as command
from lemur_caption.contract.registry import RULES
from lemur_caption.errors import UsageError
from lemur_caption.kinds import read_kinds
from lemur_caption.report import TABLES, Source, Stored, build
from lemur_caption.report.output import page as page_module
from lemur_caption.report.output import terminal
from lemur_caption.report.output.images import SIDE, inlined
from lemur_caption.report.output.markdown import escaped
from lemur_caption.report.output.page import MOST_BYTES, page
from lemur_caption.report.source import read
from lemur_caption.report.statistics import mean, median, superiority, wilson
from lemur_caption.search.records import Records
from report_records import EVIL, FINDING, SETTINGS, baselines, finished, make, markup


@pytest.fixture
def small(tmp_path: Path) -> Source:
    """Two baselines; of six candidates one improved, one trained, one was pruned, one broke the contract, one said
    nothing, and one has not ended."""
    with Records.open(tmp_path) as records:
        run = records.start_run(SETTINGS)
        baselines(records, run)
        records.save(run, 0, make(0, scores=(0.2, 0.7, 0.6)), "ended", quality=0.9, samples=[
            {"image": "a.jpg", "caption": f"a {EVIL}", "reference": "a red square"}])  # fmt: skip
        records.save(run, 1, make(1, "C5C-CaptionTransformer", (0.1, 0.2, 0.3)), "ended")
        records.save(run, 2, make(2, scores=(0.9,)), "ended")
        broken = make(
            3, repairs=[Repair("mend", [FINDING, FINDING, FINDING | {"rule": "XX2"}], "r", [], "class Net: ...\n")]
        )
        broken.findings = [FINDING | {"rule": "XX1"}, FINDING | {"rule": "XX2"}]
        broken.end(Outcome.CONTRACT, f"XX1 {EVIL}")
        records.save(run, 3, broken, "ended")
        silent = make(4, design=None, parameters=None)
        silent.source = ""
        silent.end(Outcome.NO_CODE, "prose")
        records.save(run, 4, silent, "ended")
        records.save(run, 5, make(5), "checked")
        records.finish_run(run, "finished")
        return read(records, None)


def rows(source: Source, table: str) -> list[dict]:
    return build(source, table)[0].rows


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (
            8,
            10,
            0.4901624715366418,
            0.9433178485456248,
        ),  # these four from scipy's binomtest(...).proportion_ci("wilson")
        (0, 5, 0.0, 0.43448246478317476),
        (5, 5, 0.5655175352168251, 1.0),
        (31, 48, 0.5043905701034309, 0.7656635587439514),
    ],
)
def test_wilson_intervals_are_those_of_scipy(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_statistics_of_few_values() -> None:
    assert wilson(0, 0) is None and mean([]) is None and median([]) is None and superiority([], [1.0]) is None
    assert superiority([2.0, 3.0], [1.0, 2.0]) == 3.5 / 4 and median([3.0, 1.0, 2.0]) == 2.0 == mean([1.0, 3.0])


def test_every_row_of_every_table_has_every_column(small: Source) -> None:
    for table in build(small):
        for row in table.rows:
            assert set(row) == {column.key for column in table.columns}, table.name


def test_families_count_by_prefix_and_decoder(small: Source) -> None:
    found = rows(small, "families")
    totals = {key: sum(row[key] for row in found) for key in ("asked", "ended", "trained", "improved")}
    assert totals == {"asked": 6, "ended": 5, "trained": 3, "improved": 2}
    assert {(row["family"], row["asked"]) for row in found if row["decoder"] == "none written"} == {
        ("C5C-CaptionLSTM", 1)
    }


def test_best_compares_whole_trials_with_the_best_baseline(small: Source) -> None:
    stored = [Stored("CaptionLSTM", "shapes", "bleu-4", 9, 0.81), Stored("CaptionLSTM", "coco", "bleu-4", 1, 0.99)]
    stored += [Stored("RESNETLSTM", "shapes", "bleu-4", 1, 0.3), Stored("CaptionLSTM", "shapes", "cider-d", 1, 2.0)]
    source = Source(small.runs, stored)
    found = {row["family"]: row for row in rows(source, "best")}
    # Candidate 2 scored 0.9, but after one epoch of three.
    assert (found["C5C-CaptionLSTM"]["last"], found["C5C-CaptionLSTM"]["trained"]) == (0.6, 1)
    assert found["C5C-CaptionLSTM"]["difference"] == pytest.approx(0.1)
    assert found["C5C-CaptionLSTM"]["peak_difference"] == pytest.approx(0.15)
    assert found["C5C-CaptionTransformer"]["difference"] == pytest.approx(-0.2)
    assert (found["CaptionLSTM"]["lemur"], found["CaptionLSTM"]["lemur_epoch"]) == (0.81, 9)
    assert found["CaptionLSTM"]["difference"] is None and found["CaptionTransformer"]["lemur"] is None
    assert [(row["family"], row["best"], row["first"]) for row in rows(source, "lemur")] == [
        ("CaptionLSTM", 0.81, None), ("RESNETLSTM", 0.3, 0.3)]  # fmt: skip


def test_success_leaves_out_what_has_not_ended_and_outcomes_name_it(small: Source) -> None:
    found = {(row["by"], row["group"]): row for row in rows(small, "success")}
    assert (found["all", "all"]["succeeded"], found["all", "all"]["ended"]) == (3, 5)
    assert found["snippets", "k = 5"]["rate"] == 0.6
    assert (found["all", "all"]["low"], found["all", "all"]["high"]) == wilson(3, 5)
    counts = {row["outcome"]: row["count"] for row in rows(small, "outcomes")}
    assert counts == {"improved": 2, "trained": 1, "no_code": 1, "contract": 1, "open": 1}
    assert sum(row["share"] for row in rows(small, "outcomes")) == pytest.approx(1)


def test_scores_of_different_budgets_are_not_compared(tmp_path: Path) -> None:
    with Records.open(tmp_path) as records:
        for settings, score in ((SETTINGS, 0.3), (SETTINGS | {"epochs": 1}, 0.2)):
            run = records.start_run(settings)
            records.save(run, 0, make(run, scores=(score,) * settings["epochs"]), "ended")
        found = rows(read(records, None), "best")
    assert [(row["family"], row["last"]) for row in found] == [("C5C-CaptionLSTM", 0.3), ("C5C-CaptionLSTM", 0.2)]
    assert len({row["budget"] for row in found}) == 2 and {row["difference"] for row in found} == {None}


def test_findings_follow_a_rule_through_repairs(small: Source) -> None:
    found = {row["rule"]: row for row in rows(small, "findings")}
    assert (found["LC304"]["findings"], found["LC304"]["nets"], found["LC304"]["name"]) == (2, 1, RULES["LC304"].name)
    assert (found["LC304"]["sent_back"], found["LC304"]["mended"]) == (1, 1)
    assert (found["XX2"]["sent_back"], found["XX2"]["mended"], found["XX2"]["nets"]) == (1, 0, 1)
    # The last round's findings went nowhere, and the rule is none of ours.
    assert (found["XX1"]["sent_back"], found["XX1"]["name"]) == (0, "")
    (repair,) = rows(small, "repairs")
    assert (repair["asked"], repair["code"], repair["sound"]) == (1, 1, 0)


def test_tokens_seconds_and_features(small: Source) -> None:
    (cost,) = rows(small, "cost")
    assert (cost["prompt_tokens"], cost["answer_tokens"], cost["per_success"], cost["speed"]) == (6000, 600, 2200, 50)
    stages = {row["stage"]: row["seconds"] for row in rows(small, "stages")}
    assert stages == {"model": 12.0, "training": 180.0}
    for row in rows(small, "features"):
        assert row["nets"] == 1 and row["superiority"] in (0.0, 1.0)
        assert row["difference"] == pytest.approx(0.3 if row["mean"] == 0.6 else -0.3)


# --- what a Net is ---------------------------------------------------------------------------------------------------


def test_parts_read_from_source_are_those_of_the_design_that_it_was_rendered_from() -> None:
    rng, seen = random.Random(1), set()
    for number in range(60):
        design = random_design(rng, rng.choice(("pocket", "full")))
        planned = read_kinds(Candidate("a", "a", "", design=design.model_dump()))
        found = read_kinds(Candidate("a", "a", re.sub(r'""".*?"""', "", render(design), flags=re.DOTALL)))
        for part in ("encoder", "channel_attention", "decoder", "attention", "hidden_size"):
            assert getattr(found, part) == getattr(planned, part), f"{part} of design {number}: {design}"
        seen |= {design.block, design.channel_attention, design.decoder, design.attention}
    fields = choices()
    assert seen == {*fields["block"], *fields["channel_attention"], *fields["decoder"], *fields["attention"]}


def test_parts_of_hand_written_code_are_found_by_what_it_computes() -> None:
    source = """
import torch
from torch import nn
from torchvision import models
class LSTM_Transformer_SE(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(64, 64)
        self.words = nn.Embedding(99, HIDDEN)
    def forward(self, state, memory):
        weights = torch.softmax(torch.tanh(memory + state), 1)
        return self.cell((weights * memory).sum(1), state)
class Unused(nn.Module):
    def __init__(self):
        self.lstm = nn.LSTM(1, 1)
HIDDEN = 64
class Net(nn.Module):
    def __init__(self):
        self.look, self.say = models.resnet18(), LSTM_Transformer_SE()
"""
    found = read_kinds(Candidate("a", "a", source))
    assert (found.encoder, found.decoder, found.attention) == ("torchvision resnet18", "gru", "additive")
    assert (found.channel_attention, found.hidden_size, found.read_from) == ("none", 64, "source")


def test_parts_of_a_trained_net_are_those_of_its_run(tmp_path: Path) -> None:
    built = {
        "encoder": "vit",
        "channel_attention": "none",
        "memory": "grid",
        "memory_size": 16,
        "decoder": "transformer",
    }
    built |= {"attention": "dot", "hidden_size": 64, "layers": 2, "heads": 4, "tied_embeddings": True, "channels": 96}
    with Records.open(tmp_path) as records:
        run = records.start_run(SETTINGS)
        records.save(run, 0, make(0, scores=(0.1, 0.2, 0.6), flops=3_000_000, parts=built), "ended")
        records.save(run, 1, make(1, scores=(0.1, 0.2, 0.4), flops=70_000, parts=built | {"heads": 2}), "ended")
        records.save(run, 2, make(2, scores=(0.1, 0.2, 0.3)), "ended")
        source = read(records, None)
    best, second, older = rows(source, "nets")
    own = built | {"attention": "its own", "flops": 3_000_000, "read_from": "built"}
    assert {key: best[key] for key in own} == own and (best["cells"], second["heads"]) == (None, 2)
    assert best["width"] == make(0).design["width"]
    assert (older["read_from"], older["flops"], older["encoder"]) == ("design", None, make(2).design["block"])
    found = {(row["part"], row["value"]): row["nets"] for row in rows(source, "features")}
    assert (found["FLOPs", "2 Mi to 4 Mi"], found["FLOPs", "64 Ki to 128 Ki"], found["heads", "2"]) == (1, 1, 1)
    page_text = page(source, build(source), "today")
    assert "3,000,000" in page_text and ">FLOPs<" in page_text


@pytest.mark.parametrize("source", ["", "def (", "x = 1", "class Net: pass", "class Net(Net): x = Net()", "\0"])
def test_code_that_is_no_net_has_no_parts(source: str) -> None:
    assert read_kinds(Candidate("a", "a", source)).encoder in (None, "other")


# --- the page --------------------------------------------------------------------------------------------------------


class Checked(HTMLParser):
    """Reads a page as a browser would, and keeps what matters: elements closed in order, addresses, scripts."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.code: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.code:
            self.code[self.open[-1]].append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check(text: str) -> Checked:
    """What holds for every page: whole, alone, and open to no script but its own."""
    found = Checked(text)
    assert len(text.encode("utf-8")) < MOST_BYTES and not re.search(r"https?://|url\(|@import", text)
    for tag, attributes in found.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name != "style", f"<{tag} {name}>"
            if name in ("src", "href", "srcset", "action", "data", "xlink:href"):
                assert (value or "").startswith(("data:", "#")), f"<{tag} {name}={value!r}>"
    policy = next(meta["content"] for meta in found.named("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    for kind, content in found.code.items():
        (own,) = content
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
    for chart in [svg for svg in found.named("svg") if "chart" in (svg["class"] or "")]:
        assert chart["role"] == "img" and chart["tabindex"] == "0" and chart["aria-describedby"]
    assert all("alt" in image for image in found.named("img"))
    assert all("scope" in head for head in found.named("th"))
    assert len(found.named("caption")) == len(found.named("table"))
    return found


def test_the_page_holds_every_table_its_command_and_charts(small: Source) -> None:
    text = page(small, build(small), "today")
    found = check(text)
    sections = [section["id"] for section in found.named("section")]
    assert sections == list(TABLES)
    for name in TABLES:
        assert f"<code>lemur-caption report 1 --table {name}</code>" in text
    charts = {(svg["aria-labelledby"] or "").removesuffix("-title") for svg in found.named("svg")}
    assert charts >= {"chart-best-0", "chart-success", "chart-outcomes", "chart-scores-0", "chart-sizes-0"}
    assert charts >= {"chart-accuracy-0", "chart-train_loss-0", "chart-test_loss-0", "chart-findings", "chart-stages"}


class Numbers(HTMLParser):
    """What a page says, by section: its command, its table's cells, and all that its charts and first facts say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.commands: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.charts: dict[str, list[str]] = {}
        self.facts: list[list[str]] = []
        self.path: list[tuple[str, str]] = []
        self.section = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in Checked.VOID:
            self.path.append((tag, found.get("class") or ""))
        if tag == "section":
            self.section = found["id"] or ""
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if ("dl", "facts") in self.path and tag == "dt":
            self.facts.append([])

    def handle_endtag(self, tag: str) -> None:
        self.path.pop()

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.path]
        if ("p", "command") in self.path:
            self.commands[self.section] = data
        elif ("dl", "facts") in self.path and data.strip():
            self.facts[-1].append(data.strip())
        elif tags[-1:] in (["td"], ["th"]):
            self.rows[self.section][-1].append(data)
        elif "svg" in tags and tags[-1] in ("title", "text") and self.path[-1][1] != "tick" and tags[-2] != "svg":
            self.charts.setdefault(self.section, []).append(data)


def printed(root: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The cells of each line that a command of a page prints, on a terminal wide enough for all columns."""
    program, verb, *arguments = line.split()
    assert (program, verb) == ("lemur-caption", "report")
    stream = io.StringIO()
    monkeypatch.setattr(command, "out", Console(file=stream, width=4_000))
    assert call(root, *arguments).exit_code == 0
    return [re.split(r"\s{2,}", line.strip()) for line in stream.getvalue().splitlines() if line.strip()]


def test_every_number_of_the_page_is_printed_by_the_command_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = finished(tmp_path, 20)
    found = Numbers(page(source, build(source), "today"))
    assert list(found.commands) == list(TABLES)
    assert {"best", "success", "outcomes", "nets", "epochs", "features", "findings", "stages"} == set(found.charts)
    cells = {line: printed(tmp_path, line, monkeypatch) for line in found.commands.values()}
    for name, line in found.commands.items():
        # Empty cells print as nothing; the first row are the headings, which a terminal may break.
        rows = [[cell for cell in row if cell] for row in found.rows.get(name, [])][1:]
        assert [row for row in cells[line] if row in rows] == rows, f"`{line}` prints other rows than the page has"
        words = {word for row in cells[line] for cell in row for word in re.split(r"[^\w.%/-]+", cell.replace(",", ""))}
        for said in found.charts.get(name, []):
            said = said.replace("95 % interval", "").replace(",", "")
            for number in re.findall(r"(?<![\w./-])[-+]?(\d+(?:\.\d+)?)(?![\w./-])", said):
                assert {number, f"-{number}"} & words, f"{number} of `{said}` is not printed by `{line}`"
    for _, value, *_, line in found.facts:
        assert any(value in row for row in cells[line]), f"{value} is not printed by `{line}`"
    assert len(found.facts) == 5


def test_nothing_in_a_record_becomes_markup(tmp_path: Path) -> None:
    source = Source(markup(tmp_path).runs, [Stored(EVIL, EVIL, EVIL, 1, 0.5)])
    text = page(source, build(source), "today", {1: tmp_path})
    check(text)
    assert EVIL in html.unescape(text), "it is shown as it is"
    assert text.count("<script") == 1 and "<img" not in text
    assert escaped(EVIL).count("|") == escaped(EVIL).count("\\|") and "<" not in escaped(EVIL)


def test_a_page_of_400_nets_is_under_three_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = finished(tmp_path, 400)
    text = page(source, build(source), "today")
    check(text)
    nets = text[text.index('<section id="nets"') : text.index('<section id="epochs"')]
    assert nets.count("<tr ") + nets.count("<tr>") == 1 + 404, "a heading and every Net"
    monkeypatch.setattr(page_module, "MOST_BYTES", len(text.encode()))
    smaller = page(source, build(source), "today")
    assert len(smaller) < len(text) and "the first 500 of 942 rows" in smaller


@pytest.mark.parametrize("trained", [0, 1])
def test_pages_of_no_run_a_killed_run_and_few_nets(tmp_path: Path, trained: int) -> None:
    with Records.open(tmp_path) as records:
        source = read(records, None)
        empty = page(source, build(source), "today", {})
        assert "The runs have nothing of this." in empty and check(empty)
        run = records.start_run(SETTINGS if trained else {})
        for index in range(trained):
            records.save(run, index, make(index, scores=(0.1, 0.2, 0.3)), "ended")
        records.save(run, trained, make(trained), "training")
        source = read(records, None)
    (row,) = rows(source, "runs")
    assert (row["state"], row["ended"], row["recorded"]) == ("killed", trained, trained + 1)
    text = page(source, build(source), "today")
    assert "killed" in text and len(check(text).named("section")) == len(TABLES)


def test_sample_images_are_small_and_from_the_data_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    Image.new("RGB", (900, 300), "red").save(tmp_path / "val2017" / "a.jpg")
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.jpg")
    (tmp_path / "val2017" / "broken.jpg").write_text("no image")
    found = inlined(tmp_path, "a.jpg")
    content = base64.b64decode(found.partition(",")[2])
    (tmp_path / "out.jpg").write_bytes(content)
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (SIDE, round(SIDE / 3)) and len(content) < 10_000
    assert [inlined(tmp_path, name) for name in ("../secret.jpg", "broken.jpg", "gone.jpg", "", "..")] == [None] * 5
    assert inlined(None, "a.jpg") is None


# --- the command -----------------------------------------------------------------------------------------------------


def call(root: Path, *arguments: object):
    app = typer.Typer()
    app.command()(command.report)
    return CliRunner().invoke(app, [*map(str, arguments), "--root", str(root)])


def test_files_hold_the_same_numbers(small: Source, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = ("--markdown", out / "r.md", "--csv", out, "--parquet", out, "--html", out / "r.html")
    out.mkdir()
    finished = call(tmp_path, 1, "--json", *files)
    assert finished.exit_code == 0, finished.output
    found = json.loads(finished.stdout)
    assert list(found) == list(TABLES)
    for name, table in found.items():
        assert table["rows"] == rows(small, name)
        with (out / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            read_back = list(csv.DictReader(stream))
        assert len(read_back) == len(table["rows"])
        for row, written in zip(table["rows"], read_back, strict=True):
            assert written == {key: "" if value is None else str(value) for key, value in row.items()}
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.read_parquet(out / "best.parquet")
    assert frame["last"].tolist() == [row["last"] for row in found["best"]["rows"]]
    check((out / "r.html").read_text(encoding="utf-8"))
    assert "`lemur-caption report 1 --table best`" in (out / "r.md").read_text(encoding="utf-8")


def test_a_spreadsheet_takes_no_cell_for_a_formula(tmp_path: Path) -> None:
    with Records.open(tmp_path) as records:
        records.save(records.start_run(SETTINGS), 0, make(0, snippets=["=1+1"], scores=(0.1,)), "ended")
    assert call(tmp_path, "--csv", tmp_path, "--table", "snippets").exit_code == 0
    assert "\n'=1+1," in (tmp_path / "snippets.csv").read_text(encoding="utf-8").replace("\r", "")
    assert not (tmp_path / "nets.csv").exists()


def test_a_table_wider_than_the_terminal_goes_on_below(small: Source) -> None:
    stream = io.StringIO()
    terminal.show(Console(file=stream, width=100), small, build(small, "nets"))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100 and "The Nets, continued" in stream.getvalue()
    # Nothing is broken into pieces, and each part says which candidate a line is about.
    for number, word in (
        ("1/0", "C5C-CaptionLSTM-00000000"),
        ("1/0", "improved"),
        ("1/1", "0.3000"),
        ("1/3", "design"),
    ):
        assert any(line.split()[:1] == [number] and word in line.split() for line in lines), (number, word)


def test_the_terminal_shows_one_table_whole_and_all_in_short(small: Source, tmp_path: Path) -> None:
    whole = call(tmp_path, "--table", "epochs").stdout
    assert "more rows" not in whole and "1/1" in whole
    short = call(tmp_path).stdout
    assert "lemur-caption report 1 --table epochs" in short
    for table in build(small):
        assert table.title in short


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table", "nets;"], "the tables are"),
        (["9"], "no run 9"),
        (["one"], "no run"),
        (["--html", "/nowhere/at/all.html"], "cannot be written"),
        (["--csv", "/dev/null/x"], "cannot be made"),
        (["--html", "o.html", "--data", "/nowhere"], "no folder"),
    ],
)
def test_wrong_use_is_one_line(small: Source, tmp_path: Path, arguments: list[str], words: str) -> None:
    error = call(tmp_path, *arguments).exception
    assert isinstance(error, UsageError) and words in str(error) and "\n" not in str(error)
    assert not Path("o.html").exists()


def test_lemur_s_own_statistics_stand_beside_ours(run: Run, tmp_path: Path) -> None:
    assert_one_line(run("report"), 2, "nothing is recorded")
    with Records.open(tmp_path) as records:
        number = records.start_run(SETTINGS)
        candidate = make(0, scores=(0.2, 0.7, 0.6))
        for epoch in candidate.epochs:
            epoch.prm = {"accuracy": epoch.accuracy, "transform": "norm_64", "uid": "u", "lr": 0.1, "duration": 1}
        records.save(number, 0, candidate, "ended")
    finished = run("restore", "--offline")
    assert finished.returncode == 0, finished.stderr
    finished = run("report", "--table", "best", "--json")
    assert finished.returncode == 0, finished.stderr
    (row,) = json.loads(finished.stdout)["best"]["rows"]
    assert (row["lemur"], row["lemur_epoch"], row["last"]) == (0.7, 2, 0.6)
    (tmp_path / "db" / "ab.nn.db").write_text("damaged")
    assert_one_line(run("report"), 1, "LEMUR's database", "cannot be read")
