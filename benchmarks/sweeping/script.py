"""The script that a person would write instead: Ray Tune, Lightning and W&B as their guides show them.

python benchmarks/sweeping/script.py FOLDER      # 12 learning rates x 20 epochs, ASHA, two CPUs, W&B offline
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

RATES = [0.0044, 0.00031, 0.021, 0.0011, 0.0093, 0.00012, 0.029, 0.0029, 0.00057, 0.014, 0.0018, 0.0068]
EPOCHS = 20


def data():
    import torch
    from aeon.datasets import load_classification

    sequences, labels = load_classification("JapaneseVowels", split="train", load_equal_length=False)
    names = sorted(set(labels))
    items = [(torch.tensor(x.T, dtype=torch.float32), names.index(y)) for x, y in zip(sequences, labels, strict=True)]
    return items[::5], [item for place, item in enumerate(items) if place % 5]


def collate(items):
    import torch
    from torch.nn.utils.rnn import pad_sequence

    lengths = torch.tensor([len(x) for x, _ in items])
    return pad_sequence([x for x, _ in items], batch_first=True), lengths, torch.tensor([y for _, y in items])


def train(config):
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.loggers import WandbLogger
    from ray.tune.integration.pytorch_lightning import TuneReportCheckpointCallback
    from torch.utils.data import DataLoader

    class Speaker(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(12, 64, batch_first=True)
            self.head = torch.nn.Linear(64, 9)

        def loss(self, batch):
            x, lengths, y = batch
            h, _ = self.lstm(x)
            mask = torch.arange(x.shape[1])[None] < lengths[:, None]
            pooled = (h * mask[..., None]).sum(1) / lengths[:, None]
            return torch.nn.functional.cross_entropy(self.head(pooled), y)

        def training_step(self, batch, _):
            loss = self.loss(batch)
            self.log("train_loss", loss, batch_size=len(batch[2]))
            return loss

        def validation_step(self, batch, _):
            self.log("val_loss", self.loss(batch), batch_size=len(batch[2]))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=config["lr"])

    pl.seed_everything(0)
    validation, training = data()
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        gradient_clip_val=1.0,
        accelerator="cpu",
        enable_progress_bar=False,
        logger=WandbLogger(project="speakers", offline=True, save_dir=os.environ["HERE"], config=config),
        callbacks=[TuneReportCheckpointCallback({"val_loss": "val_loss"}, on="validation_end")],
    )
    trainer.fit(
        Speaker(),
        DataLoader(training, batch_size=32, shuffle=True, collate_fn=collate),
        DataLoader(validation, batch_size=32, collate_fn=collate),
    )


def main(folder):
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    os.environ["HERE"] = str(folder)
    ray.init(address="local", num_cpus=2, runtime_env={"env_vars": {"HERE": str(folder)}})
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"lr": tune.grid_search(RATES)},
        tune_config=tune.TuneConfig(
            metric="val_loss",
            mode="min",
            scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=3, reduction_factor=3),
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), name="speakers", verbose=1),
    )
    best = tuner.fit().get_best_result()
    print(json.dumps({"lr": best.config["lr"], "val_loss": best.metrics["val_loss"]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
