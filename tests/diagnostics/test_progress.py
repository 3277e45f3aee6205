"""Progress: a bar on a terminal, plain lines elsewhere, and counters that go on after a resume."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios

import pytest

from ganvas.data.progress import Progress
from ganvas.diagnostics.progress import Meter, ProgressObserver, ScanProgress, brief, duration, live
from tests.diagnostics.runs import begin, trainer


@pytest.fixture
def terminal(monkeypatch):
    """(writing end as a text stream, reading end) of a pseudo-terminal."""
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 150, 0, 0))
    with os.fdopen(writer, "w") as stream:
        yield stream, reader
    os.close(reader)


def test_a_pipe_gets_plain_lines(tmp_path):
    _, model, examples = begin(tmp_path / "run")
    stream = io.StringIO()
    trainer(model, examples, observers={"progress": ProgressObserver(stream, interval=0.0)}).run()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11 and stream.getvalue().endswith("\n")
    assert all(line.isprintable() and line.isascii() for line in lines)
    assert lines[4].startswith("training:  50%, 40 of 80 images, ") and "discriminator value" in lines[4] and "left" in lines[4]
    assert re.fullmatch(r"finished at 80 images: \d+:\d\d, [\d,]+ images/s\. discriminator value .*generator cost .*", lines[-1])


class Unread(io.StringIO):
    """A pipe whose reader went away."""

    def write(self, text):
        raise BrokenPipeError


def test_a_run_goes_on_when_nobody_reads_its_lines(tmp_path):
    _, model, examples = begin(tmp_path / "run")
    run = trainer(model, examples, observers={"progress": ProgressObserver(Unread(), interval=0.0)})
    run.run()
    assert run.images == 80


def test_lines_come_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    watch = ScanProgress(stream, interval=10.0)
    watch.start(1000, "reading images")
    for second in range(100):
        now[0] = float(second)
        watch.advance(10)
    watch.close()
    assert [line.split(",")[1] for line in stream.getvalue().splitlines()] == [f" {10 * (second + 1)} of 1" for second in range(2, 100, 10)]


def test_a_walk_over_data_reports_what_it_does():
    stream = io.StringIO()
    watch: Progress = ScanProgress(stream, interval=0.0)
    watch.start(4, "reading images")
    watch.advance(3)
    watch.advance()
    watch.close()
    watch.close()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("reading images:  75%, 3 of 4") and lines[1].startswith("reading images: 100%, 4 of 4")


def test_a_terminal_gets_one_line_that_is_drawn_again(terminal, tmp_path):
    stream, reader = terminal
    _, model, examples = begin(tmp_path / "run")
    trainer(model, examples, observers={"progress": ProgressObserver(stream)}).run()
    shown = b""
    while select.select([reader], [], [], 0.1)[0]:
        shown += os.read(reader, 1 << 16)
    shown = shown.decode()
    assert "\r" in shown and "100%" in shown and "80 of 80 images" in shown and "finished at 80 images" in shown
    assert shown.count("\n") == 2, "the bar is one line, the last word another"


def test_a_terminal_without_a_width_gets_lines(terminal):
    fcntl.ioctl(terminal[0].fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    assert not live(terminal[0])


@pytest.mark.parametrize("setting", [("TERM", "dumb"), ("NO_COLOR", "1"), ("CI", "true")])
def test_terminals_that_ask_for_lines_get_them(terminal, monkeypatch, setting):
    assert live(terminal[0])
    monkeypatch.setenv(*setting)
    assert not live(terminal[0])


def test_a_resumed_run_goes_on_counting(tmp_path):
    path = tmp_path / "run"
    _, model, examples = begin(path)
    first = trainer(model, examples, checkpoints=path)
    for _ in range(5):
        first.play()
    first.save()
    second = trainer(begin(tmp_path / "other")[1], examples, checkpoints=path)
    stream = io.StringIO()
    second.observers["progress"] = ProgressObserver(stream, interval=0.0)
    assert second.restore()
    second.run()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("training:  60%, 48 of 80 images")
    assert lines[-1].startswith("finished at 80 images, 40 of them now: ")


def test_the_rate_looks_back_over_a_window_only(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    meter = Meter(1000, window=10.0)
    assert meter.rate == 0.0 and meter.words(2000, "/s") == ""
    done = 1000
    for second in range(200):  # ten times faster in the second half
        now[0] = float(second)
        done += 1 if second < 100 else 10
        meter.reach(done)
    assert meter.rate == pytest.approx(10.0)
    assert meter.words(done + 100, "/s") == ", 10/s, 0:10 left"


def test_losses_are_shown_without_diagnostics_and_norms():
    row = {"step": 1, "images": 8, "stage": "s", "d/value": 1.0, "d/gradient norm": 3.0, "d/watch/D(x)": 0.5, "g/cost": 0.12345}
    assert brief(row) == "d value 1; g cost 0.123"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3600 * 27 + 62, "27:01:02")])
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_importing_it_costs_nothing():
    code = (
        "import sys, ganvas.diagnostics.progress; print([m for m in ('torch', 'matplotlib', 'tqdm', 'PIL', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
