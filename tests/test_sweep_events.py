"""lstm-lab sweep --json: one event per line."""

from __future__ import annotations

import json

import pytest
from hung import HUNG
from test_sweep_killed import lab, write_sweep
from test_watch import folder, trial

from lstm_lab.config import Interrupted
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.view.events import EventProgress, told

__all__ = ["folder", "lab"]


def test_each_event_has_its_kind_and_what_the_docs_say(folder):
    trial(folder, [0.6], "finished")
    events = []

    def run():
        with told(folder, events.append):
            view = EventProgress("val/loss", "min", 5, 40, events.append)
            view.add_ended(folder.trials()[0])
            view.start_trial("t0001", {"optimizer.lr": 0.01}, Repeat(3))
            for epoch, value in enumerate((0.5, 0.7)):
                row = {"epoch": epoch, "val/loss": value, "lr": 0.01, "seconds": 1.0, "pid": 7, "config": {"secret": 1}}
                view.report_epoch("t0001", row)
            view.suspend_trial("t0001", "waiting")
            view.end_trial("t0001", "failed", "for a test")
            raise Interrupted("paused by ada")

    with pytest.raises(Interrupted):
        run()
    assert all(event.pop("at") for event in events)
    assert [event["event"] for event in events] == [
        "sweep_started", "trial_started", "best", "trial_ended", "trial_started", "epoch", "best", "epoch",
        "trial_waiting", "trial_ended", "sweep_ended",
    ]  # fmt: skip
    assert events[0]["order"] == "virtual"
    assert events[3]["value"] == 0.6
    metrics = {"val/loss": 0.5, "lr": 0.01, "seconds": 1.0}
    assert events[5] == {"event": "epoch", "trial": "t0001", "epoch": 0, "value": 0.5, "metrics": metrics}
    ended = {"trial": "t0001", "state": "failed", "reason": "for a test", "epochs": 2, "value": 0.5}
    assert events[9] == {"event": "trial_ended", **ended}
    assert events[10] == {"event": "sweep_ended", "state": "interrupted", "reason": "paused by ada"}
    json.dumps(events)


@pytest.mark.slow
def test_standard_output_has_events_and_nothing_else(lab, tmp_path, vowels):
    experiment = vowels.with_overrides({"trainer.max_epochs": 2})
    path = write_sweep(tmp_path / "s.yaml", experiment, space={"optimizer.lr": {"grid": [0.003, 0.01]}})
    process = lab("sweep", path, "--name", "s", "--json", "--test")
    out, err = process.communicate(timeout=HUNG)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("sweep_started", "sweep_ended")
    assert events[-1]["trials"] == {"total": 2, "finished": 2, "stopped": 0, "failed": 0}
    assert {event["trial"] for event in events if event["event"] == "trial_ended"} == {"t0000", "t0001"}
    assert kinds.count("best") >= 1
