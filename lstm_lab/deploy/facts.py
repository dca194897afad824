"""What a program must know to use an exported model, as plain values."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass

from lstm_lab.data.base import DataInfo
from lstm_lab.data.kinds.next_step import TokenInfo
from lstm_lab.data.kinds.tokenized_texts import FittedTokenizer
from lstm_lab.deploy.predictions import names
from lstm_lab.records.files import Row
from lstm_lab.tasks.base import Task


def model_facts(task: Task, info: DataInfo) -> Row:
    """The task, the names of the predictions in their order, and what is known of the data but the tokenizer."""
    assert is_dataclass(info)
    assert not isinstance(info, type)
    known = {key: value for key, value in asdict(info).items() if key != "tokenizer"}
    return {"task": task.name, "columns": names(task), "info": known}


def tokenizer_of(info: DataInfo) -> str | None:
    """The fitted tokenizer as JSON text, of data that have one."""
    return info.tokenizer if isinstance(info, FittedTokenizer | TokenInfo) else None
