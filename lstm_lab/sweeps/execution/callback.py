"""What happens in Tune's loop: results are recorded and shown, hung trials are ended, exhausted budgets stop trials."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import warnings
from collections import Counter
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lstm_lab.records.files import Row
from lstm_lab.records.requests import Requests
from lstm_lab.sweeps.execution.node_check import cluster_nodes
from lstm_lab.sweeps.execution.population import Population
from lstm_lab.sweeps.execution.requested_ends import RequestedEnds
from lstm_lab.sweeps.execution.trainable import AGAIN
from lstm_lab.sweeps.execution.trial_source import NotPickled, TrialSource
from lstm_lab.sweeps.execution.trial_spec import TrialSpec
from lstm_lab.sweeps.sections import Repeat
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.remote import RECORDS, Storage
from lstm_lab.sweeps.store.retention import is_full
from lstm_lab.sweeps.view.progress import SweepProgress


class SweepCallback(NotPickled, tune.Callback):
    """Records what Tune decides, and shows it."""

    MAX_DEATHS = 3
    """How many times a trial's process may die without an epoch in between before the trial has failed."""

    def __init__(
        self, folder: SweepFolder, source: TrialSource, view: SweepProgress, requests: Requests,
        members: Population | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.source, self.view, self.members = folder, source, view, members
        self.requested = RequestedEnds(requests, source, view, end_process)
        self.last_report: dict[str, float] = {}
        """Trial that runs -> when it last reported an epoch, or started."""
        self.unbegun: Counter[str] = Counter()
        """Trial -> how many processes died before they had begun it."""
        self.hang_reasons: dict[str, str] = {}
        self.storage = Storage(source.storage) if source.storage else None

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: object) -> None:
        self.requested.obey(trials)
        timeout = self.source.sweep.timeout
        if timeout is None:
            return
        for trial in trials:
            id = _id(trial)
            if self.source.is_waiting(id):
                self.last_report[id] = time.monotonic()
            elif id in self.last_report and time.monotonic() - self.last_report[id] > timeout:
                del self.last_report[id]
                self.hang_reasons[id] = f"hung: no epoch for {timeout:g} s (timeout)"
                trial.max_failures = 0
                end_process(trial)

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        spec = TrialSpec.of(trial.config)
        self.last_report[spec.trial] = time.monotonic()
        self.view.start_trial(spec.trial, spec.overrides, Repeat(spec.seed, spec.fold))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: Row, **info: object
    ) -> None:
        if "epoch" not in result:
            return
        id = _id(trial)
        self.last_report[id] = time.monotonic()
        if AGAIN in result:
            return
        if id not in self.source.ends:
            trial.max_failures = trial.num_failures + self.MAX_DEATHS - 1
        self.view.report_epoch(id, result)
        # Before Tune asks for the next epoch, which is to be trained from the clone.
        if self.members and not self.source.is_exhausted() and (event := self.members.on_epoch(id, result)):
            self.view.report_exploit(event)

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self.last_report.pop(_id(trial), None)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        id = _id(trial)
        self.last_report.pop(id, None)
        self._synchronise(id)
        result = trial.last_result or {}
        ended, reason = result.get("ended"), None
        if ended is None and self.source.interrupted.is_set():
            self.view.end_trial(id, "interrupted")
            return
        if ended == "refused":
            self.source.refusal = self.source.refusal or str(result.get("reason"))
            self.source.interrupted.set()
            self.view.end_trial(id, "interrupted", self.source.refusal)
            return
        if ended == "failed":
            reason = self.folder.run(id).status.get("reason") or result.get("reason")
            if is_full(reason):
                self.source.disk_full = str(reason)
                self.source.interrupted.set()
                self.view.end_trial(id, "interrupted", reason)
                return
        elif ended is None:
            ended, why = self.source.end_of(id)
            epochs = self.source.reported_epochs(id) if id in self.source.ends else None
            self.folder.decide(id, ended, why, epochs)
            reason = why if id in self.source.ends else self.source.shown_reason(id)
        self._show_end(trial, ended, reason)
        self.source.trial_ended(id)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        id = _id(trial)
        self.last_report.pop(id, None)
        self._synchronise(id)
        if self._give_again(trial):
            return
        lines = str(trial.get_error() or "").strip().splitlines() or ["killed from outside"]
        reason = self.hang_reasons.get(id) or f"its process died {self.MAX_DEATHS} times: {lines[-1][:200]}"
        epochs = None
        if id in self.source.ends:
            _, reason = self.source.end_of(id)
            epochs = self.source.reported_epochs(id)
        self.folder.decide(id, "failed", reason, epochs)
        self._show_end(trial, "failed", reason)
        self.source.trial_ended(id)

    def _give_again(self, trial: TuneTrial) -> bool:
        """Whether a trial is given to Tune again, which starts one again by itself only where its process had begun."""
        id = _id(trial)
        recovers = bool(trial.should_recover())  # type: ignore[no-untyped-call]
        if not recovers or id in self.source.ends:
            return False
        self.unbegun[id] += 1
        if self.unbegun[id] == self.MAX_DEATHS:
            return False
        self.source.give_again(id)
        return True

    def _show_end(self, trial: TuneTrial, state: str, reason: str | None) -> None:
        spec = TrialSpec.of(trial.config)
        if spec.trial not in self.view.rows:  # It was ended while it waited for a place.
            self.view.start_trial(spec.trial, spec.overrides, Repeat(spec.seed, spec.fold))
        if self.view.criteria.limits:
            self.view.judge(self.folder.trial(spec.trial))
        self.view.end_trial(spec.trial, state, reason)

    def _synchronise(self, trial: str) -> None:
        """With nodes that share no disk: fetch what the trial has recorded, and copy the sweep's record there."""
        if self.storage is not None:
            self.storage.pull(f"trials/{trial}", self.folder.run(trial).path, RECORDS)
            self.storage.push(self.folder.path, "", lambda path: path.parent == self.folder.path)


class SweepStopper(NotPickled, tune.Stopper):
    """Stops all trials of a phase at their next report: after Ctrl-C, or when the budget is used up."""

    def __init__(self, source: TrialSource) -> None:
        self.source = source

    def __call__(self, trial_id: str, result: Row) -> bool:
        if "epoch" in result and AGAIN not in result:
            self.source.epoch_ended()
        # Tune hands the nested result to a stopper: `config` is what the trial was given.
        return self.stop_all() or result.get("config", {}).get("trial") in self.source.ends

    def stop_all(self) -> bool:
        return self.source.interrupted.is_set() or self.source.is_exhausted()


def _id(trial: TuneTrial) -> str:
    """Our id of a Tune trial."""
    return str(trial.config["trial"])


def end_process(trial: TuneTrial) -> None:
    """Kill the process of a trial that hangs: its thread cannot be stopped, and what it holds goes with it.

    Tune keeps the actor to itself. Where it is no longer found there, the process is killed by the pid of its last
    result, on the node that reported it.
    """
    try:
        actor: Any = trial.temporary_state.ray_actor
        ray.kill(actor)
    except Exception as error:  # noqa: BLE001 - an internal of Tune: whatever it has become, the pid is left
        result = trial.last_result or {}
        nodes = [
            node["NodeID"]
            for node in cluster_nodes()
            if node["Alive"] and node["NodeManagerAddress"] == result.get("node_ip")
        ]
        if not nodes or "pid" not in result:
            warnings.warn(
                f"trial {_id(trial)} hangs, and its process cannot be ended ({type(error).__name__}: {error}): end it "
                "by hand",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        task = _kill.options(scheduling_strategy=NodeAffinitySchedulingStrategy(nodes[0], soft=False))
        ray.get(task.remote(result["pid"]), timeout=60)


@ray.remote(num_cpus=0, max_retries=0)
def _kill(pid: int) -> None:
    """Kill a process of this node."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
