"""The other workers of a trial that several processes train: one Ray actor each, in the trial's placement group.

They belong to the trial's process: however that ends, they end with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import ray
import torch
from ray import tune
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from lstm_lab.config import ConfigError
from lstm_lab.config.registry import Named
from lstm_lab.data import Dataset
from lstm_lab.experiment import Experiment
from lstm_lab.records.files import Row
from lstm_lab.sweeps.execution.trial_spec import TrialSpec
from lstm_lab.sweeps.sections import Resources
from lstm_lab.training.distributed import DistributedRank, is_lost_rank
from lstm_lab.training.train import train_rank

node_ip_address: Callable[[], str] = ray.util.get_node_ip_address
"""Ray's function, with its type."""
CLOSE_TIMEOUT = 3.0
"""Seconds that a worker has to end by itself before it is killed."""


@lru_cache(maxsize=2)
def build_dataset(data: Named) -> Dataset:
    """Read a data set, once for all trials that this process runs.

    Args:
        data: the data section of an experiment.
    """
    dataset: Dataset = data.build()
    return dataset


def placement_group(resources: Resources) -> tune.PlacementGroupFactory:
    """What a trial holds: one bundle for its own process, which is rank 0, then one for each further rank."""
    bundle = {"CPU": resources.cpus, **({"GPU": resources.gpus} if resources.gpus else {})}
    return tune.PlacementGroupFactory([bundle] * resources.workers, strategy="PACK")


def limit_gpu_memory(share: float) -> None:
    """Limit this process to its share of the GPU's memory, so that the other trials on the GPU have theirs.

    Args:
        share: of one GPU; 0 and 1 set no limit.

    Raises:
        ConfigError: less than the share is free, because a process outside the sweep holds it.
    """
    if not 0 < share < 1 or not torch.cuda.is_available():
        return
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    free, total = (amount / 1024**3 for amount in torch.cuda.mem_get_info())
    # CUDA itself takes some of each process' memory.
    if free < 0.8 * share * total:
        raise ConfigError(
            f"resources.gpus: {share:g} of the GPU is {share * total:.1f} GiB, only {free:.1f} GiB are free: another "
            "process holds the rest; end it, or write more GPU for each trial"
        )


@ray.remote(max_restarts=0, max_task_retries=0)
class DDPWorker:
    """A process of a trial other than rank 0."""

    def train(self, experiment: Row, config: Row, rank: int, address: str, port: int) -> None:
        """Train this rank's share of every batch, until rank 0 has finished."""
        spec = TrialSpec.of(config)
        os.environ.update(spec.environment)
        spec.check_code()
        limit_gpu_memory(spec.limits.gpus)
        trained = Experiment.of(experiment)
        group = DistributedRank.connect(rank, spec.limits.workers, address, port)
        try:
            train_rank(trained, group, dataset=build_dataset(trained.data))
        except RuntimeError as error:
            if not is_lost_rank(error):  # else rank 0 has closed the trial
                raise


class DDPWorkers:
    """The ranks from 1 on of one trial at a time; their processes are used again for the next trial."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.actors: list[ActorHandle[DDPWorker]] = []
        self.tasks: list[ray.ObjectRef[None]] = []

    def start(self, experiment: Experiment, spec: TrialSpec) -> DistributedRank:
        """Start them on a trial; returns rank 0, which they join."""
        address = node_ip_address()
        rank = DistributedRank.create(self.resources.workers, address)
        group = ray.util.get_current_placement_group()
        assert group is not None
        while len(self.actors) < self.resources.workers - 1:
            bundle = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=len(self.actors) + 1)
            worker = DDPWorker.options(  # type: ignore[attr-defined]
                num_cpus=self.resources.cpus, num_gpus=self.resources.gpus, scheduling_strategy=bundle
            )
            self.actors.append(worker.remote())
        self.tasks = [
            actor.train.remote(experiment.dump(), spec.config(), number, address, rank.port)
            for number, actor in enumerate(self.actors, 1)
        ]
        return rank

    def error(self, timeout: float = 0.0) -> Exception | None:
        """The error that one of them has ended with, if any has within `timeout` seconds."""
        for task in self._wait(timeout)[0]:
            try:
                ray.get(task)
            except RayTaskError as error:
                return error.cause if isinstance(error.cause, Exception) else error
            except RayError as error:
                return error
        return None

    def finish(self) -> None:
        """The trial has ended: kill the workers that do not end by themselves."""
        _, running = self._wait(CLOSE_TIMEOUT)
        if running or self.error() is not None:
            self.kill()
        self.tasks = []

    def kill(self) -> None:
        """End their processes."""
        for actor in self.actors:
            ray.kill(actor)
        self.actors, self.tasks = [], []

    def _wait(self, timeout: float) -> tuple[list[ray.ObjectRef[None]], list[ray.ObjectRef[None]]]:
        """Tasks that have ended, and those that run."""
        return ray.wait(self.tasks, num_returns=len(self.tasks), timeout=timeout) if self.tasks else ([], [])
