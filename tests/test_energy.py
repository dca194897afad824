"""Energy is what counters of the machine say, else an estimate that says so."""

from __future__ import annotations

import pytest

import lstm_lab as lab
from lstm_lab.records.run_record import read_run
from lstm_lab.report.parts.energy import CPU_WATTS, energy, watt_hours
from lstm_lab.system import energy as module
from lstm_lab.system.energy import EnergyMeter


def zone(folder, name, joules, wraps=1000):
    path = folder / name
    path.mkdir(exist_ok=True)
    (path / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
    (path / "max_energy_range_uj").write_text(f"{round(wraps * 1e6)}\n")


def test_a_meter_counts_all_packages_from_its_start_through_a_wrap(tmp_path):
    zone(tmp_path, "intel-rapl:0", 990)
    zone(tmp_path, "intel-rapl:1", 5)
    zone(tmp_path, "intel-rapl:0:0", 400)  # Cores: in the package already.
    meter = EnergyMeter(tmp_path)
    assert meter.read() == (0.0, None)
    zone(tmp_path, "intel-rapl:0", 996)
    zone(tmp_path, "intel-rapl:1", 7)
    zone(tmp_path, "intel-rapl:0:0", 500)
    assert meter.read().cpu_joules == pytest.approx(8.0)
    zone(tmp_path, "intel-rapl:0", 3)
    assert meter.read().cpu_joules == pytest.approx(15.0)
    assert meter.read().cpu_joules == pytest.approx(15.0)


def test_what_cannot_be_read_is_not_measured(tmp_path):
    assert EnergyMeter(tmp_path / "missing").read() == (None, None)
    zone(tmp_path, "intel-rapl:0", 1)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()  # As where only root may read it.
    assert EnergyMeter(tmp_path).read() == (None, None)
    counter = iter([10.0, 12.5])
    assert EnergyMeter(tmp_path, lambda: next(counter)).read() == (None, 2.5)


def test_a_run_records_it_and_pages_say_how_it_is_known(tmp_path, monkeypatch, demand):
    monkeypatch.setenv("LSTM_LAB_RUNS", str(tmp_path / "runs"))
    estimated = read_run(lab.train(demand, "trainer.max_epochs=1", progress=False, wandb="disabled").path)
    if "cpu_joules" not in estimated.rows[-1]:
        assert energy([estimated]).startswith("an estimate, not measured: ")
        assert watt_hours([estimated]) == (
            pytest.approx(estimated.seconds * CPU_WATTS / 3600), [], [f"{CPU_WATTS:.0f} W per busy core"]
        )  # fmt: skip

    class Steady(EnergyMeter):
        """Ten joules between readings."""

        def read(self):
            self.joules += 10.0
            return module.Energy(self.joules, None)

    monkeypatch.setattr("lstm_lab.training.checkpointing.start_meter", Steady)
    run = lab.train(demand, "trainer.max_epochs=2", progress=False, wandb="disabled")
    measured = read_run(run.path)
    assert [row["cpu_joules"] for row in measured.rows] == [10.0, 20.0]
    assert watt_hours([measured]) == (20 / 3600, ["RAPL, the processor packages"], [])
    assert "measured (RAPL" in energy([measured])
    assert "measured (RAPL" in energy([measured, estimated])
    assert watt_hours([measured], gpus=0.5)[2] == ["400 W per accelerator"]
