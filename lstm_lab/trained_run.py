"""A trained run as the Python API returns it, read from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lstm_lab.config import ConfigError
from lstm_lab.display.progress import Progress, bar_or_lines
from lstm_lab.records.files import Row
from lstm_lab.records.run import Run
from lstm_lab.records.run_record import RunRecord, read_run
from lstm_lab.records.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

    from lstm_lab.data import SequenceDataModule
    from lstm_lab.data.readers.in_memory import NewData
    from lstm_lab.deploy.export import Export
    from lstm_lab.deploy.generate import Generation
    from lstm_lab.deploy.stream import Stream
    from lstm_lab.evaluation.few_shot import Episodes, FewShot
    from lstm_lab.experiment import Accelerator, Experiment
    from lstm_lab.records.diagnosis import Finding
    from lstm_lab.records.explanation import Explanation
    from lstm_lab.tracking import Mode
    from lstm_lab.training.learner import Learner


class TrainedRun(Run):
    """A run of `lab.train` or `lab.load_run`, and what can be done with it.

    >>> import lstm_lab as lab
    >>> run = lab.train(DEMAND, "trainer.max_epochs=1", progress=False)
    >>> run.metrics.columns[:4].tolist()
    ['epoch', 'step', 'train/loss', 'train/grad_norm']
    >>> run.best["epoch"]
    0
    """

    @property
    def record(self) -> RunRecord:
        """The run as its folder describes it now."""
        return read_run(self.path)

    @property
    def metrics(self) -> pd.DataFrame:
        """The metric record: one row per epoch; losses and metrics, learning rate, speed, memory and seconds."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    @property
    def best(self) -> Row:
        """The row of the epoch that counts: the best by the monitored metric, or the last by `trainer.select: last`.

        Raises:
            ConfigError: no epoch was completed.
        """
        row = self.record.best
        if row is None:
            raise ConfigError(f"{self.path}: has no best epoch yet: train at least one epoch")
        return row

    @property
    def config(self) -> Experiment:
        """The experiment, typed and resolved."""
        from lstm_lab.experiment import recorded_experiment

        return recorded_experiment(self, needs_data=False)

    def evaluate(
        self,
        split: Literal["validation", "test"] = "test",
        *,
        accelerator: Accelerator | None = None,
        samples: int | None = None,
    ) -> Scores:
        """Scores of the best epoch beside its baselines. An evaluation on the test split is recorded, and counted.

        Args:
            accelerator: None: that of the experiment, or the CPU where there is no GPU.
            samples: predictions with dropout, whose mean is scored (Monte-Carlo dropout); None: one without dropout.

        Raises:
            DataError: the data is not what the run was trained on.
        """
        from lstm_lab.evaluation.evaluate import evaluate

        return evaluate(self, split, accelerator=accelerator, samples=samples)

    def predict(
        self,
        new: NewData,
        future: NewData | None = None,
        *,
        accelerator: Accelerator | None = None,
        samples: int | None = None,
    ) -> pd.DataFrame:
        """Predictions of the best epoch for new data, in the units of the data: what `lstm-lab predict` prints.

        Args:
            new: a path, a pandas DataFrame with the columns of the training data, or arrays, as the run was trained on.
            future: of a series, a path or a DataFrame with the time and the columns of `data.future` in the rows to
                come; None: they are in rows of `new` whose targets are empty.
            accelerator: None: that of the experiment, or the CPU where there is no GPU.
            samples: predictions with dropout (Monte-Carlo dropout): their mean is returned, with the ends of the middle
                90 % of them for each number and, of classes, the entropy of the mean; None: one without dropout.

        Returns:
            Of a forecaster, for each series the `horizon` rows after the last observed target, with the id, the time,
            the steps ahead, and the targets; else one row per sequence or text, with its id or number, and the class
            with the probability of each, or the values; of a task with a label per step, one row per step.

        Raises:
            DataError: the data cannot be read, lacks a column, is too short, or does not tell what must be known in
                advance.
            ConfigError: the run was trained on data that take no new samples.
        """
        from lstm_lab.evaluation.predict import predict

        return predict(self, new, future, accelerator, samples).to_frame(new)

    def generate(
        self,
        prompt: str,
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        beams: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        accelerator: Accelerator | None = None,
    ) -> Generation:
        """Continue a prompt, by a model of the next step (task `next_step`).

        Args:
            prompt: the beginning: a text; or frames, a line or a part between `|` for each, with the names of the
                channels that are on.
            length: steps to generate at most, tokens or frames.
            temperature: logits are divided by it: below 1, likely steps become likelier; 0 takes the most likely one.
            top_k: draw among this many of the most likely tokens.
            top_p: draw among the fewest most likely tokens that have this probability together, after `top_k`.
            beams: beam search of this width, instead of draws.
            stop: texts that end the continuation, which does not have them.
            seed: of the draws; None: 0.
            accelerator: None: that of the experiment, or the CPU where there is no GPU.

        Returns:
            `text`: its `prompt` and `continuation`; the number of `steps`, their `log_likelihood` in nats, and whether
            a stop text ended them.

        Raises:
            ConfigError: the run has another task, or an option is impossible or would have no effect.
            DataError: the prompt names something that the model does not know.
        """
        from lstm_lab.deploy.generate import generate
        from lstm_lab.deploy.sampling import Sampling

        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        sampling = Sampling(length, temperature, top_k, top_p, beams, stop, seed)
        return generate(self, prompt, sampling, accelerator)

    def export(
        self,
        to: Literal["onnx", "torch", "folder"],
        out: str | Path | None = None,
        *,
        length: int | None = None,
        state: bool = False,
        int8: bool = False,
    ) -> Export:
        """Write the best epoch for use without this package, and compare it with the run on random batches.

        Args:
            to: `onnx`: a file with scales, model and head, for any batch and length; `torch`: a program of
                torch.export; `folder`: weights in safetensors, facts, tokenizer, ONNX file and model card.
            out: the file or folder; None: `model.onnx`, `model.pt2` or `export/` in the folder of the run.
            length: of `torch`, steps of the longest sequence; series have their window.
            state: of `onnx`, whether the state is an input and an output too, so that a sequence is read in parts.
            int8: of `onnx`, whether weights have 8 bits: a quarter of the size, and predictions that are near.

        Returns:
            Its `path`, the largest `difference` from the run, and `notes`.

        Raises:
            ConfigError: a package is missing, the model has no such form, or the difference is more than 1e-5.
        """
        from lstm_lab.deploy.export import export

        return export(self, to, out, length, state, int8)

    def prune(
        self,
        units: float = 0.5,
        *overrides: str,
        finetune: int = 5,
        name: str | None = None,
        wandb: Literal["auto"] | Mode = "auto",
        progress: Progress = "auto",
    ) -> TrainedRun:
        """A new run of the same experiment with fewer hidden units: those whose weights are largest (Wen et al. 2018).

        Args:
            units: share of the units of each layer and direction that remains, below 1; or their number.
            overrides: `key=value`, of the new experiment, as "optimizer.lr=1e-4".
            finetune: epochs for which it is trained further.
            name, wandb, progress: as of `lab.train`.

        Raises:
            ConfigError: units cannot be taken away from the model.
            DataError: the data are not there.
        """
        from lstm_lab.deploy.prune import pruned_experiment, record_before
        from lstm_lab.records.provenance import command_line
        from lstm_lab.tracking import resolve_mode
        from lstm_lab.workflow import create_run, run_experiment

        found = pruned_experiment(self, units, finetune, overrides)
        run, dataset = create_run(found, name=name, stem=f"{self.path.name}_pruned", command=command_line())
        record_before(run, found, dataset, self)
        bar, on_epoch = bar_or_lines(progress, found.monitor)
        mode, _ = resolve_mode(wandb)
        run_experiment(found, run, dataset=dataset, wandb=mode, progress=bar, on_epoch=on_epoch)
        return TrainedRun(run.path)

    def few_shot(self, *overrides: str, episodes: Episodes | None = None) -> FewShot:
        """Classify by the encoder from a few examples a class (`lstm_lab.evaluation.few_shot`); overrides of data."""
        from lstm_lab.evaluation.few_shot import few_shot

        return few_shot(self, overrides, episodes)

    def stream(self, int8: bool = False) -> Stream:
        """The best epoch, to be asked step by step with its state carried, on the CPU.

        Args:
            int8: with weights of 8 bits in the cells; answers are near those in full precision.

        Returns:
            An object with `step(x)`, which answers as for the whole sequence so far; `state()` and `restore(state)`,
            plain arrays; and `reset()`, with which another sequence begins.

        Raises:
            ConfigError: the model has no answer before the end of a sequence: it reads in both directions, or pools
                otherwise than by the last step; or `int8` for cells that the engine does not compute in one call.
        """
        from lstm_lab.deploy.stream import Stream
        from lstm_lab.evaluation.predict import load

        return Stream(load(self, "cpu"), int8)

    def explain(self, *, sample: int | None = None) -> Explanation:
        """What the network of the best epoch does with samples of the validation split; the page shows it from then on.

        Args:
            sample: number of the sequence that is shown, in the validation split; None: one of median length.

        Returns:
            Gates, gradients over the lag, half-lives of the units, and attributions of the inputs.

        Raises:
            ConfigError: there is no such sample, or no checkpoint.
            DataError: the data is not what the run was trained on, or the model has no recurrent encoder.
        """
        from lstm_lab.explain.collect import explain

        return explain(self, sample=sample)

    def diagnose(self, *, probes: bool = True) -> list[Finding]:
        """What is wrong with the run, the gravest first; the page shows it from then on.

        Args:
            probes: whether to train shortly and look into the network too, which takes up to a minute; else the record
                alone decides, at once.

        Raises:
            DataError: the data is not what the run was trained on.
        """
        from lstm_lab.diagnosis import diagnose

        return diagnose(self, probes=probes)

    def learner(self) -> Learner:
        """The LightningModule with the weights of the best epoch, in evaluation mode; without a checkpoint, untrained.

        It can be trained further by any `pytorch_lightning.Trainer` on `run.datamodule()`.
        """
        from lstm_lab.evaluation.evaluate import load_weights
        from lstm_lab.training.train import build_from

        experiment = self.config
        dataset = experiment.data.build()
        known = (self.about.get("data") or {}).get("info")
        learner = build_from(experiment, dataset.restore_info(known) if known else dataset.info)
        if self.best_checkpoint.is_file():
            load_weights(learner, self)
        return learner

    def datamodule(self) -> SequenceDataModule:
        """The LightningDataModule of the run: its batches, in the order that its seed gives."""
        from lstm_lab.data import SequenceDataModule
        from lstm_lab.experiment import recorded_experiment

        experiment = recorded_experiment(self)
        return SequenceDataModule(
            experiment.data.build(), experiment.data.batch_size, experiment.seed, experiment.data.augment
        )

    def report(self, to: Literal["html", "markdown", "json"] = "html") -> Path:
        """Write the page of the run into its folder; its path."""
        from lstm_lab.report import write_report

        return write_report(self.path, to)

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.path)!r})"
