"""Speed of training beside the plain loop people write, in one run: `python benchmarks/speed.py` (writes results/speed.md).

Both sides train the same two networks (dcgan, 32 px canvas, width 64: equal weights give equal outputs, which is checked) with the same
updates on MNIST, batch 64. The plain loop has them in the layers of a tutorial, a DataLoader of PIL images with per-image transforms,
float32, eager, torch's default Adam, losses read at every step. Each side is a process; windows of the two alternate, so that a busy
machine disturbs both, and medians of windows are compared. Then memory over time, and start-up times of whole processes.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from ganvas import catalog
from ganvas.data.open import open_data
from ganvas.engine.config import changed
from ganvas.engine.devices import resolve
from ganvas.engine.loop import Plan, Trainer
from ganvas.run import build

DATA = Path(os.environ.get("GANVAS_DATA", Path(__file__).resolve().parents[1] / "../shared/data")) / "mnist"
RESULTS = Path(__file__).parent / "results" / "speed.md"
BATCH = 64


def config():
    entry = catalog.open_model("dcgan")
    return entry, changed(entry.presets["quick"], {"width": 64, "discriminator_width": 64, "batch": BATCH, "images": 10**9}, "benchmark")


class PilImages(torch.utils.data.Dataset):
    """One PIL image at a time through the usual chain: pad, to tensor, normalise."""

    def __init__(self, examples):
        images = examples.batch(torch.arange(len(examples))).images
        self.arrays = images.add(1).mul(127.5).round().to(torch.uint8)[:, 0].numpy()

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, index):
        image = Image.fromarray(self.arrays[index])
        padded = Image.new("L", (32, 32))
        padded.paste(image, (2, 2))
        pixels = torch.frombuffer(bytearray(padded.tobytes()), dtype=torch.uint8).view(1, 32, 32).float() / 255
        return (pixels - 0.5) / 0.5


def plain_networks(model, settings):
    """The same two networks in the layers people write, with the same weights: 1 x 1 codes, convolutions throughout."""
    w, z = settings.width, settings.z

    def up(below, above):
        return [nn.ConvTranspose2d(below, above, 4, 2, 1, bias=False), nn.BatchNorm2d(above), nn.ReLU(True)]

    def down(below, above):
        return [nn.Conv2d(below, above, 4, 2, 1, bias=False), nn.BatchNorm2d(above), nn.LeakyReLU(0.2, True)]

    first = [nn.ConvTranspose2d(z, 4 * w, 4, 1, 0, bias=False), nn.BatchNorm2d(4 * w), nn.ReLU(True)]
    g = nn.Sequential(*first, *up(4 * w, 2 * w), *up(2 * w, w), nn.ConvTranspose2d(w, 1, 4, 2, 1), nn.Tanh())
    head = [nn.Conv2d(1, w, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    d = nn.Sequential(*head, *down(w, 2 * w), *down(2 * w, 4 * w), nn.Conv2d(4 * w, 1, 4, 1, 0), nn.Flatten(0))
    with torch.no_grad():
        project = model.generator.project.weight.view(4, 4, 4 * w, z).permute(3, 2, 0, 1)
        score = model.discriminator.score.weight.view(1, 4, 4, 4 * w).permute(0, 3, 1, 2)
        theirs = [project, *model.generator.layers.parameters(), *model.discriminator.layers.parameters(), score]
        for mine, other in zip([*g.parameters(), *d.parameters()], [*theirs, model.discriminator.score.bias], strict=True):
            mine.copy_(other)
        codes = torch.randn(BATCH, z)
        torch.testing.assert_close(g(codes[:, :, None, None]), model.generator(codes), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(d(model.generator(codes)), model.discriminator(model.generator(codes)), rtol=1e-3, atol=1e-3)
    return g, d


class PlainLoop:
    """The loop of a tutorial, on the same networks."""

    def __init__(self, examples):
        entry, settings = config()
        torch.manual_seed(0)
        self.g, self.d = plain_networks(build(entry, settings, examples.spec), settings)
        self.z = settings.z
        self.opt_g = torch.optim.Adam(self.g.parameters(), lr=settings.lr_generator, betas=settings.betas)
        self.opt_d = torch.optim.Adam(self.d.parameters(), lr=settings.lr_discriminator, betas=settings.betas)
        self.loader = torch.utils.data.DataLoader(PilImages(examples), batch_size=BATCH, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)

    def step(self):
        real = next(self.batches, None)
        if real is None:
            self.batches = iter(self.loader)
            real = next(self.batches)
        ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)
        self.opt_d.zero_grad()
        fake = self.g(torch.randn(BATCH, self.z, 1, 1))
        loss_d = F.binary_cross_entropy_with_logits(self.d(real), ones) + F.binary_cross_entropy_with_logits(self.d(fake.detach()), zeros)
        loss_d.backward()
        self.opt_d.step()
        self.opt_g.zero_grad()
        loss_g = F.binary_cross_entropy_with_logits(self.d(self.g(torch.randn(BATCH, self.z, 1, 1))), ones)
        loss_g.backward()
        self.opt_g.step()
        return loss_d.item(), loss_g.item()


class Engine:
    def __init__(self, examples):
        entry, settings = config()
        torch.manual_seed(0)
        plan = Plan(seed=0, budget=10**9, save_every=10**9, log_every=10 * BATCH)
        self.machine = resolve("cpu", "auto", None)
        self.trainer = Trainer(build(entry, settings, examples.spec), examples, plan, self.machine)

    def step(self):
        self.trainer.play()


def window(side, seconds):
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        side.step()
        steps += 1
    return steps * BATCH / (time.perf_counter() - start)


SIDES = {"plain loop": PlainLoop, "ganvas": Engine}


def work(name):
    """One side in a process of its own: for every line of input (seconds) a window of steps, and images/s and resident MB as output."""
    side = SIDES[name](open_data(str(DATA)))
    window(side, 2)
    print("ready", flush=True)
    for line in sys.stdin:
        rate = window(side, float(line))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(rate, pages * resource.getpagesize() / 1e6, flush=True)


def compare(windows, seconds):
    """Images/s and resident memory of each side, window by window; while one works the other waits."""
    workers = {}
    for name in SIDES:
        command = [sys.executable, __file__, "--worker", name]
        workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert workers[name].stdout.readline() == "ready\n"
    found = {name: [] for name in SIDES}
    for _ in range(windows):
        for name, worker in workers.items():
            worker.stdin.write(f"{seconds}\n")
            worker.stdin.flush()
            found[name].append([float(word) for word in worker.stdout.readline().split()])
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return found


STEP = """
import sys, time
from ganvas.engine.loop import Trainer
play, begun = Trainer.play, []
def first(self):
    row = play(self)
    if not begun:
        begun.append(1)
        print(time.time(), flush=True)
    return row
Trainer.play = first
import ganvas
ganvas.train("dcgan", data=sys.argv[1], preset="quick", images=640, run=sys.argv[2], quiet=True)
"""

IMAGE = """
import sys, time, ganvas
ganvas.load(sys.argv[1]).sample(1)
print(time.time(), flush=True)
"""


def start_up(repeats=3):
    """Seconds from process start to the first complete step, and from process start to the first image of a checkpoint."""
    first_step, first_image = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            run = Path(folder) / f"run-{i}"
            began = time.time()
            first_step.append(float(_out(STEP, str(DATA), str(run)).split()[0]) - began)
            began = time.time()
            first_image.append(float(_out(IMAGE, str(run)).split()[0]) - began)
    return first_step, first_image


def _out(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--worker", choices=SIDES)
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: set GANVAS_DATA to the folder that holds mnist/")
    if options.worker:
        return work(options.worker)
    found = compare(options.windows, options.seconds)
    rates = {name: [rate for rate, _ in values] for name, values in found.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    resident = [memory for _, memory in found["ganvas"]]
    machine = resolve("cpu", "auto", None)
    first_step, first_image = start_up()
    lines = [
        "# Speed",
        "",
        f"Command: `python benchmarks/speed.py`. {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads,",
        f"torch {torch.__version__}; {machine.describe()}. dcgan, 28 px MNIST on a 32 px canvas, width 64, batch {BATCH}; the same",
        f"networks and updates on both sides; {options.windows} alternating windows of {options.seconds:g} s.",
        "",
        "| side | images/s, median (min-max) |",
        "|---|---|",
        *(f"| {name} | {medians[name]:,.0f} ({min(values):,.0f}-{max(values):,.0f}) |" for name, values in rates.items()),
        "",
        f"Ratio of medians: {medians['ganvas'] / medians['plain loop']:.2f}.",
        "",
        f"Resident memory of ganvas after each window, MB: {', '.join(f'{value:,.0f}' for value in resident)}.",
        f"Process start to first complete step, s: {_spread(first_step)}.",
        f"Process start to first image of a checkpoint, s: {_spread(first_image)}.",
        "",
    ]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def _spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
