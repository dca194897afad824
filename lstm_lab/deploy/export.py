"""A trained run written for use elsewhere: as ONNX, as a program of torch.export, or as a folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from lstm_lab.config import ConfigError
from lstm_lab.evaluation.predict import LoadedRun, load
from lstm_lab.records import files
from lstm_lab.records.run import Run

if TYPE_CHECKING:
    import onnx

    from lstm_lab.deploy.comparison import Compared

Form = Literal["onnx", "torch", "folder"]
NAMES: dict[Form, str] = {"onnx": "model.onnx", "torch": "model.pt2", "folder": "export"}
"""Where each is written in the folder of a run."""
INT8 = "model_int8.onnx"


class Export(NamedTuple):
    """What was written."""

    path: Path
    difference: float | None
    """The largest difference from torch on random batches, of logits and predictions, relative to values above 1; None
    of a folder without ONNX file."""
    notes: tuple[str, ...]
    """What to know of it, a sentence each."""


def export(
    run: Run, to: Form, out: str | Path | None = None, length: int | None = None, state: bool = False,
    int8: bool = False,
) -> Export:  # fmt: skip
    """Write the best epoch of a run.

    Args:
        to: `onnx`; `torch`, a program of torch.export; `folder`.
        out: the file or folder; None: `model.onnx` (`model_int8.onnx`), `model.pt2` or `export/` in the run's folder.
        length: of `torch`, steps of the longest sequence.
        state: of `onnx`, whether the state is an input and an output too.
        int8: of `onnx`, whether weights have 8 bits, and products are those of integers.

    Raises:
        ConfigError: a package is missing, the model has no such form, or differs from torch by more than 1e-5.
        OSError: the path cannot be written.
    """
    if length is not None and to != "torch":
        raise ConfigError(f"--length {length} would do nothing: --to {to} takes sequences of any length; leave it out")
    if state and to != "onnx":
        raise ConfigError(f"--state would do nothing: --to {to} has no state as input and output; leave it out")
    if int8 and to != "onnx":
        raise ConfigError(f"--int8 would do nothing: --to {to} has weights in float32; leave it out, or use --to onnx")
    path = run.path / (INT8 if int8 else NAMES[to]) if out is None else Path(out)
    if to != "folder" and path.is_dir():
        raise ConfigError(f"{path}: is a folder: name the file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}: make it first")
    loaded = load(run, "cpu")
    if to == "torch":
        return _torch(loaded, path, length)
    if to == "folder":
        return _folder(run, loaded, path)
    return _int8(run, loaded, path, state) if int8 else _onnx(loaded, path, run, state)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"export --to onnx needs the package {error.name}: pip install 'lstm-lab[export]'") from None


def _onnx(loaded: LoadedRun, path: Path, run: Run | None = None, state: bool = False) -> Export:
    """The ONNX file; measured and recorded where the run is given."""
    _require_onnx()
    from lstm_lab.deploy import to_onnx

    model = to_onnx.write_onnx(loaded.learner, loaded.info, state)
    compared = to_onnx.compare(model, loaded.learner, loaded.info, state=state)
    content = model.SerializeToString()
    files.write_atomic(path, content)
    kinds = ", ".join(f"{count} {kind}" for kind, count in to_onnx.operators(model).items())
    notes = (f"{len(content):,} bytes; {kinds}", _said(compared, "onnxruntime"))
    measured = () if run is None else _measured(run, loaded, {"ONNX, float32": model}, state, scored=False)
    return Export(path, compared.difference, (*notes, *measured))


def _int8(run: Run, loaded: LoadedRun, path: Path, state: bool) -> Export:
    _require_onnx()
    from lstm_lab.deploy import to_onnx
    from lstm_lab.deploy.quantized import WITHOUT_INTEGERS, integer_operators, quantized

    learner, info = loaded.learner, loaded.info
    whole = to_onnx.write_onnx(learner, info, state)
    to_onnx.compare(whole, learner, info, state=state)
    model = quantized(to_onnx.write_onnx(learner, info, state, WITHOUT_INTEGERS))
    compared = to_onnx.compare(model, learner, info, state=state, tolerance=math.inf)
    content = model.SerializeToString()
    files.write_atomic(path, content)
    kinds = ", ".join(f"{count} {kind}" for kind, count in integer_operators(model).items())
    size = f"{len(content):,} bytes, {whole.ByteSize():,} with weights of 32 bits; {kinds}"
    measured = _measured(run, loaded, {"ONNX, float32": whole, "ONNX, 8 bits": model}, state, scored=True)
    return Export(path, compared.difference, (size, _said(compared, "onnxruntime"), *measured))


def _measured(
    run: Run, loaded: LoadedRun, graphs: dict[str, onnx.ModelProto], state: bool, scored: bool
) -> Iterator[str]:
    """Record sizes, latencies and scores in the run, where that can be written, and say them."""
    from lstm_lab.deploy.measured import measure, merged
    from lstm_lab.deploy.onnx_writer.states import state_parts
    from lstm_lab.report import fmt

    parts = state_parts(loaded.learner.model) if state else []
    found, reason = measure(run, loaded, graphs, parts, scored)
    for row in found["rows"]:
        value = "" if row["value"] is None else f", val/{found['metric']} {fmt.number(row['value'])}"
        yield f"{row['form']}: {row['ms']:g} ms for a sequence of {found['steps']} steps{value}"
    if reason:
        yield f"not scored on the validation split: {reason}"
    with suppress(OSError):  # A run may be exported from a folder that cannot be written.
        run.describe(exports=merged(run.about.get("exports"), found))


def _torch(loaded: LoadedRun, path: Path, length: int | None) -> Export:
    import io

    import torch

    from lstm_lab.deploy.to_torch import write_torch

    found = write_torch(loaded.learner, loaded.info, length)
    content = io.BytesIO()
    torch.export.save(found.program, content)
    files.write_atomic(path, content.getvalue())
    steps = f"any batch, sequences of up to {found.compared.max_length} steps"
    notes = (f"{len(content.getvalue()):,} bytes; {steps}", _said(found.compared, "torch.export"))
    return Export(path, found.compared.difference, notes)


def _folder(run: Run, loaded: LoadedRun, path: Path) -> Export:
    from lstm_lab.deploy.to_folder import PROGRAM, write_folder, write_program

    names = write_folder(run, loaded, path)
    # Those of an earlier export would go with the weights of this one.
    for name in (NAMES["onnx"], PROGRAM):
        (path / name).unlink(missing_ok=True)
    try:
        inside = _onnx(loaded, path / NAMES["onnx"])
    except ConfigError as reason:
        return Export(path, None, (", ".join(names), f"without {NAMES['onnx']}: {reason}"))
    names += [inside.path.name, write_program(path)]
    return Export(path, inside.difference, (", ".join(names), inside.notes[1]))


def _said(compared: Compared, runtime: str) -> str:
    return (
        f"{runtime} differs from the run by at most {compared.difference:.1e} on {compared.batches} random batches "
        f"(up to {compared.max_batch} sequences of {compared.max_length} steps)"
    )
