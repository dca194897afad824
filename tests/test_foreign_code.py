"""Nothing that a file holds is executed: neither checkpoints nor data."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch

from lstm_lab.config import DataError
from lstm_lab.records import files
from lstm_lab.records.run import Run
from lstm_lab.training.checkpointing import read_checkpoint


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("write", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))])
def test_no_pickle_in_a_checkpoint_is_executed(write, tmp_path):
    from lstm_lab.training.checkpointing import newest_checkpoint

    run = Run(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    write({"state_dict": {}, "callbacks": Attack(tmp_path / "pwned"), "learner": {}}, run.checkpoints / files.LAST)
    with pytest.raises(DataError, match="incomplete or not ours"):
        read_checkpoint(run.checkpoints / files.LAST)
    with pytest.warns(UserWarning, match="incomplete or not ours"):
        assert newest_checkpoint(run) == (None, 0)
    assert not (tmp_path / "pwned").exists()


def test_data_are_not_executed(tmp_path):
    from lstm_lab.experiment import Experiment

    script = tmp_path / "evil.py"
    script.write_text(f"import os; os.mkdir({json.dumps(str(tmp_path / 'pwned'))})")
    data = Experiment.of({
        "data": {"name": "huggingface", "path": str(script), "text": "t", "label": "y"}, "task": "classify",
        "model": {"embedding": {"dim": 4}},
    }).data.build()  # fmt: skip
    with pytest.raises(DataError, match="is a script"):
        _ = data.info
    assert not (tmp_path / "pwned").exists()
