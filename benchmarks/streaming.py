"""Time of one step of a stream: through the engine's C entry point, through Python, and through its peers.

    python benchmarks/streaming.py --write

Two LSTM layers of 128 units read one sample step by step on one thread, the state carried. Rounds are interleaved: in
each, every contestant reads the same steps in turn. Beside wall time, which a busy machine stretches, stands the CPU
time of the thread. What the clocks and an empty call of the same C function cost is measured in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import lstm_lab
from lstm_lab import kernels
from lstm_lab.kernels import EngineLayer, StackStep
from lstm_lab.kernels.native_layers import Family

I, H, LAYERS = 32, 128, 2  # noqa: E741
WARM = 50
Step = Callable[[np.ndarray], object]
"""Reads one step (I,) float32."""


def engine(layer: nn.LSTM, int8: bool = False) -> StackStep:
    """The layers of an nn.LSTM."""

    def layers() -> list[EngineLayer]:
        return [EngineLayer(Family.LSTM, 4, W, U, b, b_h) for W, U, b, b_h in layer.all_weights]

    return StackStep(layers, layer.parameters(), int8)


def c_entry(stack: StackStep, layers: int) -> Step:
    """The C function with ctypes, through no method of ours; with no layers it returns at once."""
    function, calls, more = stack.entry_point
    buffer = np.zeros(I, np.float32)
    address = buffer.ctypes.data

    def step(x: np.ndarray) -> None:
        buffer[:] = x  # Whose address takes longer to look up than this.
        function(calls, layers, address, *more)

    return step


def torch_layer(layer: nn.LSTM) -> Step:
    state: list[tuple[Tensor, Tensor] | None] = [None]

    def step(x: np.ndarray) -> Tensor:
        output: Tensor
        output, state[0] = layer(torch.from_numpy(x)[None, None], state[0])
        return output

    return step


def torch_cells(layer: nn.LSTM) -> Step:
    cells = [nn.LSTMCell(I if k == 0 else H, H) for k in range(LAYERS)]
    for cell, weights in zip(cells, layer.all_weights, strict=True):
        cell.load_state_dict(dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), weights, strict=True)))
    states = [(torch.zeros(1, H), torch.zeros(1, H)) for _ in cells]

    def step(x: np.ndarray) -> Tensor:
        h = torch.from_numpy(x)[None]
        for k, cell in enumerate(cells):
            states[k] = cell(h, states[k])
            h = states[k][0]
        return h

    return step


def onnx_step(layer: nn.LSTM) -> Step:
    """One ONNX LSTM operator for each layer, the state an input and an output."""
    nodes, constants, inputs, outputs, last = [], [], ["x"], [], "x"
    for k, weights in enumerate(layer.all_weights):
        W, U, b, b_h = (gates_of_onnx(weight.detach()) for weight in weights)
        for name, value in (("W", W), ("R", U), ("B", torch.cat((b, b_h)))):
            constants.append(numpy_helper.from_array(value[None].numpy(), f"{name}{k}"))
        names = [last, f"W{k}", f"R{k}", f"B{k}", "", f"h{k}", f"c{k}"]
        nodes.append(helper.make_node("LSTM", names, [f"y{k}", f"new_h{k}", f"new_c{k}"], hidden_size=H))
        nodes.append(helper.make_node("Squeeze", [f"y{k}", "direction"], [f"out{k}"]))
        last = f"out{k}"
        inputs += [f"h{k}", f"c{k}"]
        outputs += [f"new_h{k}", f"new_c{k}"]
    constants.append(numpy_helper.from_array(np.array([1]), "direction"))

    def of(names: list[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, I if n == "x" else H]) for n in names]

    graph = helper.make_graph(nodes, "step", of(inputs), of([last, *outputs]), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    state = {name: np.zeros((1, 1, H), np.float32) for name in inputs[1:]}

    def step(x: np.ndarray) -> np.ndarray:
        answer: np.ndarray
        answer, *new = session.run(None, {"x": x[None, None], **state})
        state.update(zip(state, new, strict=True))
        return answer

    return step


def gates_of_onnx(weight: Tensor) -> Tensor:
    """torch's order i, f, g, o -> i, o, f, c."""
    i, f, g, o = weight.chunk(4)
    return torch.cat((i, o, f, g))


def whole_stream(folder: Path) -> Step:
    """`run.stream().step` of a small trained classifier with the same cells: scaling, head, probabilities, columns."""
    rng, names = np.random.default_rng(0), [f"v{k}" for k in range(I)]
    lines = [",".join(["id", *names, "label"])]
    for i in range(30):
        lines += [f"P{i},{','.join(f'{v:.3f}' for v in row)},{'ab'[i % 2]}" for row in rng.normal(i % 2, 1, (5, I))]
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    data = {"name": "csv_sequences", "path": str(folder / "data.csv"), "id": "id", "channels": names, "label": "label"}
    model = {"name": "sequence", "hidden_size": H, "num_layers": LAYERS}
    content = {"data": data, "task": "classify", "model": model, "trainer": {"max_epochs": 1}}
    os.environ["LSTM_LAB_RUNS"] = str(folder)
    stream = lstm_lab.train(content, name="run", wandb="disabled", progress=False).stream()
    assert stream.slow_because is None
    return lambda x: stream.step(x.tolist())


def measure(contestants: dict[str, Step], xs: list[np.ndarray], rounds: int) -> dict[str, np.ndarray]:
    """Name -> nanoseconds (steps, 2): wall time and the thread's CPU time."""
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, step in contestants.items():
            for x in xs[:WARM]:  # The caches are those of the contestant before.
                step(x)
            for x in xs:
                cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
                step(x)
                wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
                if number:
                    found[name].append((wall, cpu))
    return {name: np.array(times) for name, times in found.items()}


def check(layer: nn.LSTM, contestants: dict[str, Step], xs: list[np.ndarray]) -> None:
    """All compute the same."""
    truth = layer(torch.from_numpy(np.stack(xs))[None])[0][0, -1].numpy()
    for name, step in contestants.items():
        for x in xs:
            answer = step(x)
        np.testing.assert_allclose(np.asarray(answer).ravel(), truth, atol=1e-5, err_msg=name)


def table(found: dict[str, np.ndarray], empty: str, rounds: int) -> list[str]:
    head = ["a step of", "p50, us", "p99, us", "p99 of the calmest round", "p99, CPU time", "p50 beside the first"]
    lines, (first, *_) = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"], found.values()
    for name, times in found.items():
        wall, cpu = times[:, 0].reshape(rounds, -1), times[:, 1]
        values = (
            np.median(wall),
            np.percentile(wall, 99),
            np.percentile(wall, 99, axis=1).min(),
            np.percentile(cpu, 99),
        )
        ratios = np.median(wall, 1) / np.median(first[:, 0].reshape(rounds, -1), 1)
        ratio = "" if name == empty else f"{np.median(ratios):.1f}x"
        lines.append(f"| {name} | {' | '.join(f'{value / 1e3:.1f}' for value in values)} | {ratio} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/streaming.md")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kernels.tune_memory()
    layer = nn.LSTM(I, H, LAYERS, batch_first=True).eval()
    xs = [*np.random.default_rng(0).normal(size=(500, I)).astype(np.float32)]
    stacks, empty = [engine(layer) for _ in range(3)], "nothing: an empty call of the C entry point"
    rounded = engine(layer, int8=True)  # Each is kept: its memory is what the C function reads.
    peers = {
        "`nn.LSTM`": torch_layer(layer),
        "`nn.LSTMCell`, one for each layer": torch_cells(layer),
        "onnxruntime, LSTM operators": onnx_step(layer),
    }

    def through_python(x: np.ndarray) -> Tensor:
        return stacks[1].step(torch.from_numpy(x))

    with tempfile.TemporaryDirectory() as folder:
        stream = whole_stream(Path(folder))
    with torch.inference_mode():
        check(layer, {"StackStep": through_python, **peers}, xs)
        contestants: dict[str, Step] = {
            "the C entry point, called with ctypes": c_entry(stacks[0], LAYERS),
            "the same with `int8`: weights of 8 bits": c_entry(rounded, LAYERS),
            empty: c_entry(stacks[2], 0),
            "`StackStep.step`": through_python,
            "`run.stream().step`, with scaling, head and probabilities": stream,
            **peers,
        }
        found = measure(contestants, xs, chosen.rounds)
    report = [
        "# One step of a stream",
        "",
        f"`{shlex.join(['python', 'benchmarks/streaming.py', *sys.argv[1:]])}`, {time.strftime('%Y-%m-%d')}, "
        f"{platform.machine()}, {kernels.status().engine}, torch {torch.__version__}, onnxruntime "
        f"{onnxruntime.__version__}, one thread, float32 but for int8.",
        "",
        f"{LAYERS} LSTM layers of {H} units, {I} values in a step, {chosen.rounds} interleaved rounds of {len(xs)}",
        f"steps for each, after {WARM} more.",
        "The machine is shared, with more processes than cores: the p99 of all steps has their interruptions in it,",
        "that of the calmest round less of them. All times hold the clocks and a call from Python; the row of the",
        "empty call has these alone. The last column is the median ratio within a round.",
        "",
        *table(found, empty, chosen.rounds),
        "",
    ]  # fmt: skip
    print("\n".join(report))
    if chosen.write:
        Path(__file__).with_suffix(".md").write_text("\n".join(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
