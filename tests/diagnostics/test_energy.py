"""Energy as the machine tells it, and silence where it does not."""

import torch

from ganvas.diagnostics.energy import Counter, EnergyMeter, packages, used
from ganvas.diagnostics.recorder import DEVICE_ENERGY, ENERGY, MetricsObserver
from ganvas.diagnostics.report import write_report
from ganvas.diagnostics.rows import append_row, read_rows
from tests.diagnostics.runs import begin, trainer

CPU = torch.device("cpu")


def zone(root, name, kind, energy, limit=1_000_000):
    folder = root / name
    folder.mkdir(parents=True)
    for file, content in (("name", kind), ("energy_uj", energy), ("max_energy_range_uj", limit)):
        (folder / file).write_text(f"{content}\n")
    return folder


def test_packages_count_and_their_parts_do_not(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 500)
    zone(tmp_path, "intel-rapl:0:0", "core", 300)
    zone(tmp_path, "intel-rapl:0:1", "dram", 100)
    zone(tmp_path, "intel-rapl:1", "psys", 900)
    (tmp_path / "intel-rapl:2").mkdir()
    assert [counter.read() for counter in packages(tmp_path)] == [500, 100]
    assert packages(tmp_path / "nowhere") == []


def test_joules_add_up_over_a_counter_that_begins_again(tmp_path):
    first, second = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, 999_999), zone(tmp_path, "intel-rapl:1", "package-1", 0, 999_999)
    meter = EnergyMeter(CPU, tmp_path)
    assert meter.joules() == {"processor": 0.0}
    (first / "energy_uj").write_text("950000"), (second / "energy_uj").write_text("30000")
    assert meter.joules()["processor"] == 0.08
    (first / "energy_uj").write_text("10000")  # over the end, which is 1 J
    assert abs(meter.joules()["processor"] - 0.14) < 1e-12


def test_a_counter_that_can_no_longer_be_read_adds_nothing(tmp_path):
    counter = Counter(tmp_path / "gone", 99)
    assert counter.read() is None and used([counter], [5], [None]) == used([counter], [None], [5]) == 0
    assert EnergyMeter(CPU, tmp_path / "nowhere").joules() == {}


def test_the_report_tells_it_or_says_that_nobody_does(tmp_path, monkeypatch):
    _, model, examples = begin(tmp_path / "run")
    monkeypatch.setattr("ganvas.diagnostics.energy.POWERCAP", tmp_path / "nowhere")
    monkeypatch.setattr(EnergyMeter.__init__, "__defaults__", (tmp_path / "nowhere",))
    t = trainer(model, examples, observers={"metrics": MetricsObserver(tmp_path / "run")})
    t.run()
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert not any(ENERGY in row or DEVICE_ENERGY in row for row in rows)
    assert "the machine does not tell" in write_report(tmp_path / "run").read_text()
    append_row(tmp_path / "run" / "metrics.jsonl", rows[-1] | {ENERGY: 1234.0, DEVICE_ENERGY: 72_000.0})
    page = write_report(tmp_path / "run").read_text()
    assert "1,234 J" in page and "0.02 kWh" in page and "other programs included" in page


def test_energy_goes_on_after_a_resume(tmp_path, monkeypatch):
    """Joules of an earlier process are added; where that one could not tell, the sum is not told either."""
    folder = zone(tmp_path / "power", "intel-rapl:0", "package-0", 0, 10**12)
    monkeypatch.setattr(EnergyMeter.__init__, "__defaults__", (tmp_path / "power",))
    _, model, examples = begin(tmp_path / "run")
    for before, wanted in (({"seconds": 9.0, ENERGY: 5.0}, 7.0), ({"seconds": 9.0}, None)):
        (folder / "energy_uj").write_text("0")
        observer = MetricsObserver(tmp_path / "run")
        observer.load_state(before)
        observer.start(trainer(model, examples))
        (folder / "energy_uj").write_text("2000000")
        assert observer.state().get(ENERGY) == wanted
