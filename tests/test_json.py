"""NaN and infinity are not JSON: no file and no output has them, and the reader restores them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random

import pytest

from lstm_lab.records import files
from lstm_lab.records.run import Run
from lstm_lab.report.parts.content import Page, Summary
from lstm_lab.report.parts.render import to_json
from lstm_lab.verbs.options import echo_json


def strict(text: str | bytes) -> object:
    """Content of JSON as RFC 8259 has it."""

    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


LEAVES = [None, True, 3, 0.5, math.nan, math.inf, -math.inf, "text"]


def drawn(random: Random, depth: int = 3) -> object:
    """Nested plain content."""
    kind = random.choice(["leaf", "list", "dict"]) if depth else "leaf"
    if kind == "list":
        return [drawn(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == "dict":
        return {key: drawn(random, depth - 1) for key in random.sample(["a", "val/b", "c.d", "0"], random.randrange(4))}
    return random.choice(LEAVES)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_is_written_is_json_and_reads_as_it_was(seed: int) -> None:
    content = {"first": drawn(Random(seed)), "second": drawn(Random(-seed - 1))}
    text = files.to_json(content)
    strict(text)
    assert repr(files.from_json(text)) == repr(content)  # NaN is not equal to itself, but its repr is


def test_a_null_has_its_reason() -> None:
    row = strict(files.to_json({"scores": {"auroc": math.nan, "perplexity": math.inf}}))
    assert row == {
        "scores": {"auroc": None, "perplexity": None},
        "nulls": [
            {"at": ["scores", "auroc"], "reason": "NaN"},
            {"at": ["scores", "perplexity"], "reason": "Infinity"},
        ],
    }


def test_every_record_is_written_as_json(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {}, limit=math.inf)
    run.append({"epoch": 0, "val/auroc": math.nan})
    run.append({"epoch": 1, "val/auroc": 0.5})
    run.mark("finished", best={"value": -math.inf})
    for path in run.path.glob("*.json*"):
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            strict(line)
    first, second = run.rows()
    assert math.isnan(first["val/auroc"])
    assert second == {"epoch": 1, "val/auroc": 0.5}
    assert run.about["limit"] == math.inf
    assert run.status["best"] == {"value": -math.inf}


def test_records_of_earlier_versions_still_open(tmp_path: Path) -> None:
    path = tmp_path / files.METRICS
    path.write_text('{"epoch": 0, "val/auroc": NaN, "best": Infinity}\n{"epoch": 1, "nulls": "of a hand"}\n')
    first, second = files.read_jsonl(path)
    assert math.isnan(first["val/auroc"])
    assert first["best"] == math.inf
    assert second["epoch"] == 1


@pytest.mark.parametrize("nulls", ["1", "[1]", '[{"at": ["x", "y"], "reason": "NaN"}]', '[{"at": ["epoch"]}]', "{}"])
def test_nulls_that_a_hand_has_damaged_are_left_as_they_are(nulls: str) -> None:
    assert files.from_json(f'{{"epoch": 1, "loss": null, "nulls": {nulls}}}')["loss"] is None


def test_json_on_standard_output_and_report_json_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"scores": {"auroc": math.nan}})
    assert strict(capsys.readouterr().out)
    page = Page("title", "", "", Summary("headline"), [("limit", math.inf)], [])  # type: ignore[list-item]
    assert strict(to_json(page))
