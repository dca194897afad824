"""Config: dumps round-trip, and every error is one line that names the place, the key and a way out."""

from __future__ import annotations

import math
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lstm_lab.config import Config, ConfigError, load, merge, parse_overrides, to_yaml
from lstm_lab.config.fields import fields
from lstm_lab.config.registry import Named, all_kinds, expand_choices
from lstm_lab.experiment import Experiment, load_experiment

CONF = Path(__file__).parent.parent / "conf"
FILES = sorted(CONF.glob("*.yaml"))
VOWELS = "data: japanese_vowels\ntask: classify\n"
ROWS = list(fields(Experiment))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@pytest.fixture
def write(tmp_path):
    def write(text, name="experiment.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def leaves(content, prefix=""):
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def without(content, path):
    head, _, rest = path.partition(".")
    kept = {key: value for key, value in content.items() if key != head}
    return {**kept, head: without(content[head], rest)} if rest else kept


@each_file
def test_conf_files_hold_only_what_differs(path):
    experiment, content = load_experiment(path), load(path)
    assert len(path.read_text().splitlines()) <= 20
    for key in leaves(content):
        try:
            same = Experiment.of(without(content, key)) == experiment
        except ConfigError:
            continue  # it has no default
        assert not same, f"{path.name}: {key} says what is the default"


@each_file
def test_dump_and_yaml_round_trip(path, write):
    experiment = load_experiment(path)
    assert Experiment.of(experiment.dump()) == experiment
    assert load_experiment(write(to_yaml(experiment.dump()))) == experiment
    assert yaml.safe_load(to_yaml(experiment.dump())) == experiment.dump()
    assert hash(experiment) == hash(load_experiment(path))


@pytest.fixture(scope="module")
def validator():
    schema = Experiment.model_json_schema()
    validator_class = jsonschema.validators.validator_for(schema)
    validator_class.check_schema(schema)
    return validator_class(schema)


@each_file
def test_the_schema_accepts_what_loads(path, validator):
    for content in (load(path), load_experiment(path).dump(), expand_choices(Experiment, load(path))):
        validator.validate(content)


@pytest.mark.parametrize(
    "wrong", ["modle: {}", "model: {dept: 2}", "model: {cell: gruu}", "model: {cell: {name: gru, forget_bias: 1}}",
              "seed: x", "optimizer: {lr: -1}", "trainer: {patience: x}"],
)  # fmt: skip
def test_the_schema_refuses_what_does_not_load(wrong, write, validator):
    text = VOWELS + wrong
    with pytest.raises(ConfigError):
        load_experiment(write(text))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize("written", ["1e-3", "1E-3", ".001", "0.001", "1.0e-3"])
def test_a_number_is_a_number_in_every_place(written, write):
    path = write(f"{VOWELS}optimizer: {{lr: {written}}}")
    assert load_experiment(path).optimizer.lr == 0.001
    assert load_experiment(write(VOWELS), [f"optimizer.lr={written}"]).optimizer.lr == 0.001
    assert parse_overrides([f"a.b={written}"]) == [("a.b", 0.001)]
    assert load(write(to_yaml({"word": written, "number": 1e-3}))) == {"word": written, "number": 1e-3}


@pytest.mark.parametrize(
    ("section", "overrides", "expected"),
    [
        ("{name: gru}", ["model.cell=lstm"], {"name": "lstm", "forget_bias": 1.0}),
        ("gru", ["model.cell.name=lstm"], {"name": "lstm", "forget_bias": 1.0}),
        ("{name: lstm, forget_bias: 2}", ["model.cell=gru"], {"name": "gru"}),
        ("{name: lstm, forget_bias: 2}", ["model.cell=lstm"], {"name": "lstm", "forget_bias": 2.0}),
        ("{forget_bias: 2}", ["model.cell.name=lstm"], {"name": "lstm", "forget_bias": 2.0}),
        ("{forget_bias: 2}", ["model.cell.name=gru"], {"name": "gru"}),
        ("gru", ["model.cell={name: lstm, forget_bias: 3}"], {"name": "lstm", "forget_bias": 3.0}),
        ("gru", ["model.cell=lstm", "model.cell.forget_bias=3"], {"name": "lstm", "forget_bias": 3.0}),
        ("gru", ["model.cell.forget_bias=3", "model.cell.name=lstm"], {"name": "lstm", "forget_bias": 3.0}),
    ],
)
def test_another_name_replaces_the_section_and_the_same_name_keeps_it(section, overrides, expected, write):
    path = write(f"{VOWELS}model: {{cell: {section}, hidden_size: 9}}")
    experiment = load_experiment(path, overrides)
    assert experiment.model.cell.model_dump() == expected
    assert experiment.model.hidden_size == 9
    assert load_experiment(path).with_overrides(dict(parse_overrides(overrides))) == experiment


def test_overrides_leave_the_old_experiment_alone(write):
    experiment = load_experiment(write(VOWELS))
    other = experiment.with_overrides({"seed": 3, "model.cell": "gru"})
    assert (experiment.seed, other.seed, other.model.cell.name) == (0, 3, "gru")
    base = {"model": {"cell": "lstm"}}
    assert merge(base, {"model.cell": "gru"}) == {"model": {"cell": "gru"}}
    assert base == {"model": {"cell": "lstm"}}


def test_frozen(write):
    experiment = load_experiment(write(VOWELS))
    for part, field in ((experiment, "seed"), (experiment.model.cell, "forget_bias"), (experiment.optimizer, "lr")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, 1)


@pytest.mark.parametrize("kind", sorted(all_kinds()))
def test_shorthand_equals_the_long_form(kind):
    base = all_kinds()[kind]
    for name, member in base.members.items():
        assert issubclass(member.Config, Named)
        assert member.Config.model_fields["name"].default == member.name == name
        assert member.Config.owner is member
        assert issubclass(member, base)


def test_every_field_is_documented():
    assert len(ROWS) > 20
    for row in ROWS:
        assert row.type, row
        assert row.default, row
        assert row.doc, row
    assert len({(row.path, row.of) for row in ROWS}) == len(ROWS)


# What is wrong (a whole file, or overrides of VOWELS) -> what the one line must say.
FAULTS = [
    (["modle.depth=2"], ["override 'modle.depth=2'", "modle", "did you mean 'model'"]),
    (["model.num_layer=2"], ["override 'model.num_layer=2'", "model.num_layer:", "did you mean 'num_layers'"]),
    (["model.cell.hiden_size=2"], ["model.cell.hiden_size:", "did you mean 'model.hidden_size'"]),
    (["model.dropout.inptu=0.1"], ["model.dropout.inptu:", "did you mean 'input'"]),
    (["model.cell=gruu"], ["model.cell:", "no cell named 'gruu'", "did you mean 'gru'"]),
    (["model.cell.name=[1]"], ["model.cell:", "there are: ", "lstm"]),
    (["model.cell=null"], ["model.cell:", "must be a name or a mapping", "got null"]),
    (["model=7"], ["model:", "must be a name or a mapping", "got 7"]),
    (["optimizer.lr=true"], ["override 'optimizer.lr=true'", "must be a valid number", "got true"]),
    (["optimizer.lr=fast"], ["override 'optimizer.lr=fast'", "must be a valid number", "got 'fast'"]),
    (["optimizer.lr='1e-3'"], ["optimizer.lr:", "must be a valid number", "got '1e-3'"]),
    (["optimizer.lr=-1"], ["optimizer.lr:", "greater than 0", "got -1"]),
    (["optimizer.lr=.nan"], ["optimizer.lr:", "finite", "got nan"]),
    (["optimizer.lr=.inf"], ["optimizer.lr:", "finite", "got inf"]),
    (["optimizer.lr=1e999"], ["optimizer.lr:", "finite", "got inf"]),
    (["optimizer.momentum=0.5"], ["optimizer.momentum: no such field in Adam", "momentum' of"]),
    (["model.num_layers=2.5"], ["model.num_layers:", "must be a valid integer", "got 2.5"]),
    (["model.num_layers=true"], ["model.num_layers:", "must be a valid integer", "got true"]),
    (["model.num_layers=null"], ["model.num_layers:", "must be a valid integer", "got null"]),
    (["model.bidirectional=1"], ["model.bidirectional:", "must be a valid boolean", "got 1"]),
    ([f"model.num_layers={10**30}"], ["model.num_layers:", "less than 2147483648"]),
    (["model.hidden_size=0x" + "f" * 5000], ["model.hidden_size:", "less than 2147483648", "20000 bits"]),
    (["data.batch_size=0"], ["data.batch_size:", "greater than or equal to 1", "got 0"]),
    (["seed=-1"], ["seed:", "greater than or equal to 0", "got -1"]),
    (["seed=4294967296"], ["seed:", "less than 4294967296"]),
    (["seed.x=1"], ["override 'seed.x=1'", "seed: must be a valid integer"]),
    (["trainer.patience=none"], ["trainer.patience:", "valid integer or null", "got 'none'"]),
    (["task.monitor=acuracy"], ["task.monitor:", "'macro_f1', 'auroc', 'ece' or 'loss'", "got 'acuracy'"]),
    (["model.dropout.between=0.3"], ["override 'model.dropout.between=0.3'", "num_layers is 1", "set num_layers to 2"]),
    (["model.dropout.output=1.0"], ["model.dropout.output:", "less than 1", "got 1.0"]),
    (["task=forecast"], ["does not go with data 'japanese_vowels'", "choose classify"]),
    (["data=taylor"], ["task 'classify' does not go with data 'taylor'", "choose forecast"]),
    (["lr"], ["override 'lr'", "must be key=value"]),
    (["=3"], ["override '=3'", "must be key=value"]),
    (["model..depth=3"], ["override 'model..depth=3'", "must be key=value"]),
    (["model.num_layers=[1"], ["override 'model.num_layers=[1'", "not YAML"]),
    (["model.num_layers=${seed}"], ["override 'model.num_layers=${seed}'", "valid integer", "got '${seed}'"]),
    (["a\nb=1"], ["a b", "no such field"]),
    (b"", ["data:", "missing", "lstm-lab list has all", "(and 1 more)"]),
    (b"task: classify", ["data:", "missing", "lstm-lab list has all"]),
    (b"just a word", ["must be a mapping of `key: value` lines"]),
    (b"7", ["must be a mapping"]),
    (b"- data\n- task", ["must be a mapping"]),
    (b"data: {", ["not valid YAML", "line 2"]),
    (b"data: japanese_vowels\n\ttask: classify", ["not valid YAML", "line 2"]),
    (b"seed: 1\nseed: 2", ["not valid YAML", "duplicate key seed", "line 2"]),
    (b"optimizer.lr: 1e-3\n" + VOWELS.encode(), ["optimizer.lr:", "write optimizer: {lr: ...}"]),
    (b"data: \xff", ["not UTF-8", "save it as UTF-8"]),
    (b"data: a\x00b", ["not valid YAML"]),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "says"), FAULTS, ids=[str(wrong)[:40] for wrong, _ in FAULTS])
def test_an_error_is_one_line_with_a_way_out(wrong, says, write):
    path, overrides = (write(wrong), []) if isinstance(wrong, bytes) else (write(VOWELS), wrong)
    with pytest.raises(ConfigError) as fault:
        load_experiment(path, overrides)
    line = str(fault.value)
    assert len(line.splitlines()) == 1
    assert str(path) in line or "override '" in line
    assert len(line.replace(str(path), "")) < 550  # The longest lists the names of all data sets.
    for part in says:
        assert part in line
    assert fault.value.exit_code == 2


def test_an_error_in_the_file_never_names_an_override(write):
    path = write(VOWELS + "model: {num_layer: 2}")
    with pytest.raises(ConfigError, match=f"^{path}: model.num_layer:"):
        load_experiment(path, ["model.hidden_size=3", "seed=1"])


def test_a_wrong_path_is_reported_with_close_names(tmp_path, write):
    path = write(VOWELS, "vowels.yaml")
    for wrong, says in {
        tmp_path / "vowel.yaml": f"no such file; did you mean '{path}'",
        tmp_path / "x": "no such file; .* holds vowels.yaml",
        tmp_path: "is a folder; .* holds vowels.yaml",
        tmp_path / "none" / "x.yaml": "no such file",
        tmp_path / ("long" * 500): "File name too long",
    }.items():
        with pytest.raises(ConfigError, match=says) as fault:
            load_experiment(wrong)
        assert str(fault.value).startswith(str(wrong)[:90])


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 9), st.floats(), st.floats(0, 1), st.text(max_size=8),
    st.sampled_from(sorted({name for kind in all_kinds().values() for name in kind.members})),
)  # fmt: skip
names = st.one_of(st.sampled_from([row.path for row in ROWS]), st.text(max_size=6), st.integers())
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2))
written = values.map(lambda value: yaml.safe_dump(value, default_flow_style=True, width=math.inf).split("\n...")[0])
keys = st.one_of(st.sampled_from([row.path for row in ROWS]), st.text(max_size=12))


@settings(max_examples=100)
@given(overrides=st.lists(st.tuples(keys, written | st.text(max_size=12)).map("=".join), min_size=1, max_size=3))
@pytest.mark.parametrize("path", FILES[-1:])
def test_any_override_gives_an_experiment_or_one_line(path, overrides):
    try:
        experiment = load_experiment(path, overrides)
    except ConfigError as error:
        fault = str(error)
        assert len(fault.splitlines()) == 1
    else:
        assert Experiment.of(experiment.dump()) == experiment


@settings(max_examples=100)
@given(content=st.one_of(st.binary(max_size=30), st.text(max_size=30).map(str.encode), written.map(str.encode)))
def test_any_file_gives_an_experiment_or_one_line(content, write):
    with pytest.raises(ConfigError) as fault:
        load_experiment(write(content))
    assert len(str(fault.value).splitlines()) == 1


def test_class_names_name_the_owner():
    assert issubclass(Experiment, Config)
    assert [Experiment.class_name(), type(load_experiment(CONF / "vowels_lstm.yaml").model.cell).class_name()] == [
        "Experiment",
        "LSTM",
    ]
