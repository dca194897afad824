"""Whether every node of a cluster can take part in a sweep, asked before its first trial."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lstm_lab.config import ConfigError, DataError, Fault
from lstm_lab.config.paths import environment_elsewhere, path_fields
from lstm_lab.experiment import Experiment
from lstm_lab.records.code_state import CodeState
from lstm_lab.records.files import Row
from lstm_lab.records.provenance import versions
from lstm_lab.sweeps.spec import Sweep
from lstm_lab.sweeps.store.folder import SweepFolder
from lstm_lab.sweeps.store.remote import Storage

SAME_VERSION = ("lstm-lab", "torch", "pytorch-lightning", "numpy")
"""Packages that every node must have in the driver's version: with another one the numbers differ."""
TIMEOUT = 600.0
"""Seconds that a node has: it reads the data once."""
cluster_nodes: Callable[[], list[Row]] = ray.nodes
"""Ray's function, with its type."""


@dataclass(frozen=True)
class NodeCheck:
    """What a node must be able to do, as the driver does it."""

    uri: str
    """Where the trials write to."""
    nonce: str
    """Name of the file that the driver has written there."""
    versions: dict[str, str | None]
    code: CodeState
    environment: dict[str, str]
    """The driver's LSTM_LAB_ variables, which every trial gets."""
    data: list[tuple[Row, str]]
    """Experiments whose data differ in their files, in plain content, each with the digest of its data."""

    def problem(self, node: str) -> Fault | None:
        """Why this process, on a node of that id, cannot take part, if it cannot."""
        found = versions()
        for name, version in self.versions.items():
            if found.get(name) != version:
                return ConfigError(
                    f"has {name} {found.get(name)}, the driver {version}: install the same on every node"
                )
        os.environ.update(self.environment)
        if difference := CodeState.of_this_process().difference(self.code):
            return ConfigError(difference)
        try:
            if Storage(self.uri).read(f".nodes/{self.nonce}") is None:
                return ConfigError(
                    f"does not see {self.uri}: put LSTM_LAB_RUNS on a disk that all nodes share, or give --storage"
                )
            Storage(self.uri).write(f".nodes/{self.nonce}.{node}", self.nonce.encode())
        except (OSError, ConfigError) as error:
            return ConfigError(f"cannot use {self.uri}: {str(error).splitlines()[0]}")
        return self._data_problem()

    def _data_problem(self) -> DataError | None:
        """Why the data cannot be read here, or are others than the driver's."""
        for content, digest in self.data:
            experiment = Experiment.of(content)
            try:
                found = experiment.data.build().digest
            except Fault as error:
                return DataError(f"cannot read the data: {error}; put them on a disk that all nodes share")
            if found != digest:
                return DataError(
                    f"reads other data '{experiment.data.name}' ({found}) than the driver ({digest}): put them on a "
                    "disk that all nodes share"
                )
        return None


def data_of(sweep: Sweep) -> list[tuple[Row, str]]:
    """Experiments of a sweep whose data differ in their files, in plain content, each with the digest of its data."""
    by_files: dict[tuple[str, ...], Experiment] = {}
    for experiment in sweep.corners("sweep"):
        by_files.setdefault(tuple(value for _, value, _ in path_fields(experiment.data)), experiment)
    return [(experiment.dump(), experiment.data.build().digest) for experiment in by_files.values()]


def check_nodes(folder: SweepFolder, storage_uri: str | None) -> None:
    """Check that every node reads and writes where the trials will, and has the driver's versions, code and data.

    Raises:
        ConfigError, DataError: the first node that does not, and why.
    """
    sweep = folder.sweep
    sweep = sweep.with_base(sweep.base.with_found_paths())
    check = NodeCheck(
        uri=storage_uri or str(folder.path.resolve()),
        nonce=secrets.token_hex(8),
        versions={name: versions().get(name) for name in SAME_VERSION},
        code=CodeState.of_this_process(),
        environment=environment_elsewhere(),
        data=data_of(sweep),
    )
    storage = Storage(check.uri)
    storage.write(f".nodes/{check.nonce}", check.nonce.encode())
    try:
        nodes = alive_nodes()
        answers = {
            node: _check_node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                check, node
            )
            for node in nodes
        }
        for node, answer in answers.items():
            try:
                problem = ray.get(answer, timeout=TIMEOUT)
            except RayError as error:
                if not isinstance(error, RayTaskError) and node not in alive_nodes():
                    continue  # It has left the cluster meanwhile, as nodes may.
                problem = ConfigError(f"cannot run lstm_lab: {str(error).strip().splitlines()[-1]}")
            if problem is None and storage.read(f".nodes/{check.nonce}.{node}") is None:
                problem = ConfigError(f"what it writes to {check.uri} is not visible here")
            if problem is not None:
                raise type(problem)(f"node {nodes[node]} ({node[:8]}): {problem}")
    finally:
        storage.delete(".nodes")


def alive_nodes() -> dict[str, str]:
    """Nodes of the cluster: id -> host name."""
    return {node["NodeID"]: node["NodeManagerHostname"] for node in cluster_nodes() if node["Alive"]}


@ray.remote(num_cpus=0, max_retries=0)
def _check_node(check: NodeCheck, node: str) -> Fault | None:
    """Why this node cannot take part, if it cannot."""
    return check.problem(node)
