"""The design space: its schema, its normalization, and what the renderer makes of equal designs."""

import ast
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from pydantic import ValidationError

import lemur_caption
from lemur_caption.architecture import (
    Design,
    baseline_design,
    default_design,
    describe,
    json_schema,
    random_design,
    render,
)
from lemur_caption.architecture.space import choices
from lemur_caption.errors import UsageError

SIZES = ("pocket", "full")


def with_fields(**fields):
    return Design(**(default_design().model_dump() | fields))


@pytest.mark.parametrize("size", SIZES)
def test_random_designs_fit_their_schema_and_survive_json(size):
    rng = random.Random(3)
    schema = json_schema(size)
    for _ in range(200):
        design = random_design(rng, size)
        jsonschema.validate(design.model_dump(), schema)
        assert Design.from_json(design.model_dump_json()) == design


@pytest.mark.parametrize("size", SIZES)
def test_schema_enumerates_everything(size):
    schema = json_schema(size)
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"]) == list(Design.model_fields)
    for name, rule in schema["properties"].items():
        assert list(rule) == ["enum"], name
        assert all(isinstance(value, (str, int)) for value in rule["enum"]), name


@pytest.mark.parametrize("size", SIZES)
def test_every_answer_under_the_schema_is_a_design(size):
    # Before normalization: what a constrained language model can write.
    rng = random.Random(5)
    fields = choices(size)
    for _ in range(300):
        raw = {name: rng.choice(values) for name, values in fields.items()}
        Design.from_json(json.dumps(raw))


def test_a_design_from_before_resolution_is_coarse_but_a_model_must_name_it():
    recorded = default_design().model_dump()
    del recorded["resolution"]
    assert Design.from_json(json.dumps(recorded)) == with_fields(resolution="coarse")
    with pytest.raises(jsonschema.ValidationError, match="'resolution' is a required property"):
        jsonschema.validate(recorded, json_schema())


@pytest.mark.parametrize("size", SIZES)
def test_heads_divide_every_hidden_size(size):
    fields = choices(size)
    left_over = [(h, n) for h in fields["hidden_size"] for n in fields["heads"] if h % n]
    assert left_over == []


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"decoder": "transformer", "attention": "additive"}, {"decoder": "transformer", "attention": "none"}),
        ({"decoder": "lstm", "heads": 8}, {"decoder": "lstm", "heads": 2}),
        ({"decoder": "transformer", "attention": "dot"}, {"decoder": "transformer", "attention": "none"}),
        ({"memory": "token", "attention": "additive"}, {"memory": "token", "attention": "none"}),
        ({"memory": "token", "attention": "dot"}, {"memory": "token", "attention": "none"}),
        ({"block": "vit", "resolution": "fine"}, {"block": "vit", "resolution": "coarse"}),
        ({"block": "mbconv", "channel_attention": "none"}, {"block": "mbconv", "channel_attention": "se"}),
    ],
)
def test_equal_meaning_is_equality(fields, same):
    assert with_fields(**fields) == with_fields(**same)
    assert render(with_fields(**fields)) == render(with_fields(**same))


@pytest.mark.parametrize("field", sorted(set(Design.model_fields) - {"size"}))
def test_every_field_shows_in_the_source(field):
    """Two designs that differ in a field that counts render differently, so no value is silently dropped."""
    base = with_fields(decoder="transformer") if field == "heads" else default_design()
    values = choices("pocket")[field]
    sources = {render(Design(**(base.model_dump() | {field: value}))) for value in values}
    assert len(sources) == len(values)


def test_sizes_differ():
    assert render(default_design("pocket")) != render(default_design("full"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not a design: Invalid JSON"),
        ("[1]", "not a design"),
        ("{}", "not a design: size: Field required"),
        (json.dumps(default_design().model_dump() | {"block": "resnext"}), "block: Input should be 'residual'"),
        (
            json.dumps(default_design().model_dump() | {"hidden_size": 130}),
            "hidden_size is 130, but pocket designs take",
        ),
        (
            json.dumps(default_design().model_dump() | {"hidden_size": "128"}),
            "hidden_size: Input should be a valid int",
        ),
        (json.dumps(default_design().model_dump() | {"heads": 3}), "heads is 3, but pocket designs take 2, 4, 8"),
        (
            json.dumps(default_design().model_dump() | {"lr": "0.0003"}),
            "lr is 0.0003, but pocket designs take 0.001, 0.002",
        ),
        (json.dumps(default_design().model_dump() | {"dropout": 0.1}), "dropout: Input should be '0.0'"),
        (
            json.dumps(default_design().model_dump() | {"resolution": "finest"}),
            "resolution: Input should be 'coarse' or",
        ),
        (json.dumps(default_design().model_dump() | {"resolution": None}), "resolution: Input should be 'coarse' or"),
        (json.dumps(default_design().model_dump() | {"attention": "luong"}), "attention: Input should be 'none', 'add"),
        (json.dumps(default_design().model_dump() | {"idea": "x"}), "idea: Extra inputs are not permitted"),
        (json.dumps(default_design().model_dump() | {"size": ["pocket"]}), "size: Input should be 'pocket' or 'full'"),
    ],
)
def test_unusable_json_is_one_line(text, complaint):
    with pytest.raises(UsageError) as caught:
        Design.from_json(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_size_is_named():
    with pytest.raises(UsageError, match="unknown design size 'huge': choose pocket or full"):
        json_schema("huge")


def test_designs_are_frozen():
    with pytest.raises(ValidationError):
        default_design().depth = 1


def test_random_designs_repeat_with_their_seed_and_cover_every_value():
    drawn = [random_design(random.Random(11)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    rng = random.Random(0)
    seen = [random_design(rng).model_dump() for _ in range(300)]
    missing = [(n, v) for n, values in choices().items() for v in values if not any(d[n] == v for d in seen)]
    assert missing == []


@pytest.mark.parametrize(
    ("fields", "encoder", "decoder"),
    [
        ({}, "residual+se fine grid", "lstm+dot 192"),
        ({"resolution": "coarse", "attention": "additive"}, "residual+se grid", "lstm+additive 192"),
        ({"channel_attention": "cbam", "attention": "none"}, "residual+cbam fine grid", "lstm 192"),
        ({"block": "vit", "channel_attention": "none", "memory": "token"}, "vit token", "lstm 192"),
        ({"decoder": "transformer", "memory": "token", "layers": 2}, "residual+se fine token", "transformer 192x2"),
    ],
)
def test_short_names(fields, encoder, decoder):
    assert describe(with_fields(**fields)) == {"encoder": encoder, "decoder": decoder}


def test_rendering_repeats_in_another_process():
    design = default_design()
    code = (
        "import sys; from lemur_caption.architecture import Design, render;"
        "sys.stdout.write(render(Design.from_json(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, design.model_dump_json()], capture_output=True, text=True, check=True
    )
    assert done.stdout == render(design)


def test_importing_the_room_does_not_load_torch():
    code = "import sys, lemur_caption.architecture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_source_is_stand_alone_and_says_its_hyperparameters():
    rng = random.Random(8)
    for size in SIZES:
        for _ in range(60):
            design = random_design(rng, size)
            source = render(design)
            tree = ast.parse(source)
            imported = {
                (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
                for node in ast.walk(tree)
                if isinstance(node, (ast.Import, ast.ImportFrom))
            }
            assert imported <= {"math", "torch"}
            # Nothing runs on import but definitions and constants.
            kinds = {type(node) for node in tree.body[1:]}
            assert kinds <= {ast.Import, ast.ImportFrom, ast.Assign, ast.FunctionDef, ast.ClassDef}
            defined = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
            unused = [name for name in defined if source.count(name) < 2 and name != "supported_hyperparameters"]
            assert unused == ["Net"] or unused == []
            # NNGPT wants the names in quotes twice, and a return as the function's first statement.
            assert source.count('"lr"') >= 2 and source.count('"momentum"') >= 2
            assert f"lr {design.lr}, momentum {design.momentum}" in ast.get_docstring(tree)


def test_rendered_files_are_formatted_and_lint_clean(tmp_path):
    rng = random.Random(1)
    for number in range(60):
        design = random_design(rng, SIZES[number % 2])
        (tmp_path / f"net{number}.py").write_text(render(design), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    checks = (
        ["format", "--check", "--line-length=120"],
        ["check", "--line-length=120", "--select=E,F,W,I,B,UP,SIM,C4"],
    )
    for check in checks:
        command = [*ruff, *check, "--isolated", "--no-cache", "--target-version=py310", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_pylint_has_little_to_say(tmp_path):
    """LEMUR scores a Net's code with pylint; it must find no error and next to nothing else."""
    rng = random.Random(2)
    files = [tmp_path / f"net{number}.py" for number in range(3)]
    for file in files:
        file.write_text(render(random_design(rng)), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pylint",
        "--max-line-length=120",
        "--disable=duplicate-code",
        "--output-format=json",
    ]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    found = [(note["type"], note["symbol"], note["obj"]) for note in json.loads(done.stdout)]
    assert [note for note in found if note[0] in ("error", "fatal")] == []
    assert len(found) <= 2 * len(files), found


@pytest.mark.parametrize("name", ["CaptionLSTM", "CaptionTransformer"])
def test_a_baselines_design_has_its_sizes(name):
    path = Path(lemur_caption.__file__).parent / "lemur_files" / "nn" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    design = baseline_design(name, "pocket", 0.001, 0.9)
    assert (design.width, design.hidden_size, float(design.dropout)) == (
        module.WIDTHS[0],
        module.HIDDEN,
        module.DROPOUT,
    )
    decoder = module.Net((1, 3, 64, 64), (50,), {"lr": 0.001, "momentum": 0.9}, "cpu").decoder
    recurrent = [part for part in decoder.modules() if isinstance(part, torch.nn.LSTM)]
    if recurrent:
        assert (design.decoder, design.layers) == ("lstm", recurrent[0].num_layers)
    else:
        assert (design.decoder, design.layers, design.heads) == ("transformer", module.LAYERS, module.HEADS)
    assert design.tied_embeddings == (decoder.output.weight is decoder.embed.weight)


def test_where_a_baseline_is_no_point_of_the_space():
    assert baseline_design("CaptionLSTM", "pocket", 0.0007, 0.9) is None
    assert baseline_design("CaptionLSTM", "full", 0.001, 0.9) is None
    assert baseline_design("ResNet", "pocket", 0.001, 0.9) is None
