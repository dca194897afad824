"""The other workers of a trial that several train: an actor each, in the trial's own placement group.

They belong to the trial's process: however that ends, they end with it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from lstm_lab.config import ConfigError
from lstm_lab.data import Dataset
from lstm_lab.distributed import Rank, is_lost
from lstm_lab.experiment import Experiment
from lstm_lab.sweeps.spec import Resources
from lstm_lab.training import follow

CLOSING = 3.0
"""Seconds that a worker has to end by itself before it is ended."""


@lru_cache(maxsize=2)
def shared(data: Any) -> Dataset:
    """A data set, read once for all the trials that this process runs."""
    return data.build()


def bundles(resources: Resources) -> tune.PlacementGroupFactory:
    """What a trial holds: the first bundle is its own, as rank 0, then one for each further rank."""
    each = {"CPU": resources.cpus, **({"GPU": resources.gpus} if resources.gpus else {})}
    return tune.PlacementGroupFactory([each] * resources.workers, strategy="PACK")


def claim_gpu(share: float) -> None:
    """Hold a trial to its share of the GPU's memory, so that a neighbour never pays for it.

    Raises:
        ConfigError: less than the share is free, for somebody outside of the sweep holds it.
    """
    if not 0 < share < 1 or not torch.cuda.is_available():
        return
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    free, total = (amount / 1024**3 for amount in torch.cuda.mem_get_info())
    # What CUDA itself needs of each process is nobody's share.
    if free < 0.8 * share * total:
        raise ConfigError(
            f"resources.gpus: {share:g} of the GPU is {share * total:.1f} GiB, only {free:.1f} GiB are free: another "
            "process holds the rest; end it, or write more GPU for each trial"
        )


@ray.remote(max_restarts=0, max_task_retries=0)
class DDPWorker:
    """A rank but the first."""

    def follow(self, experiment: dict[str, Any], spec: dict[str, Any], number: int, address: str, port: int) -> None:
        """Train its share of a trial, until the first rank has done."""
        os.environ.update(spec["environment"])
        claim_gpu(spec["resources"]["gpus"])
        asked = Experiment.of(experiment)
        rank = Rank.join(number, spec["resources"]["workers"], address, port)
        try:
            follow(asked, rank, dataset=shared(asked.data))
        except RuntimeError as error:
            if not is_lost(error):  # else the first has closed the trial
                raise


class DDPWorkers:
    """The other ranks of one trial at a time; their processes serve the next trial too."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.resources = Resources(**spec["resources"])
        self.actors: list[Any] = []
        self.work: list[Any] = []

    def begin(self, experiment: Experiment, spec: dict[str, Any]) -> Rank:
        """Set them to work on a trial; its first rank."""
        address = ray.util.get_node_ip_address()
        rank = Rank.host(self.resources.workers, address)
        group: Any = ray.util.get_current_placement_group()
        while len(self.actors) < self.resources.workers - 1:
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=len(self.actors) + 1)
            peer = DDPWorker.options(  # type: ignore[attr-defined]
                num_cpus=self.resources.cpus, num_gpus=self.resources.gpus, scheduling_strategy=place
            )
            self.actors.append(peer.remote())
        self.work = [
            actor.follow.remote(experiment.dump(), spec, number, address, rank.port)
            for number, actor in enumerate(self.actors, 1)
        ]
        return rank

    def fault(self, seconds: float = 0.0) -> BaseException | None:
        """What one of them has ended with, if not in peace."""
        done, _ = ray.wait(self.work, num_returns=len(self.work), timeout=seconds) if self.work else ([], [])
        for each in done:
            try:
                ray.get(each)
            except RayTaskError as error:
                return error.cause if isinstance(error.cause, BaseException) else error
            except ray.exceptions.RayError as error:
                return error
        return None

    def end(self) -> None:
        """The trial is over: whoever does not end by itself is ended."""
        _, late = ray.wait(self.work, num_returns=len(self.work), timeout=CLOSING) if self.work else ([], [])
        if late or self.fault() is not None:
            self.kill()
        self.work = []

    def kill(self) -> None:
        for actor in self.actors:
            ray.kill(actor)
        self.actors, self.work = [], []
