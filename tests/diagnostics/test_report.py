"""The report: complete, honest about what is missing, self-contained, and safe whatever things are called."""

import html
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

from ganvas import catalog
from ganvas.data.batch import DataSpec
from ganvas.diagnostics import explain
from ganvas.diagnostics.curves import panels
from ganvas.diagnostics.game import describe
from ganvas.diagnostics.page import POLICY
from ganvas.diagnostics.report import ReportObserver, write_report
from ganvas.diagnostics.rows import append_row, read_rows
from ganvas.engine.contract import Condition, Draws, GenerativeModel, Loss, Phase, Stage
from ganvas.engine.optimizers import SGD
from ganvas.errors import GanvasError
from tests.contract.games import GAMES
from tests.diagnostics.runs import Means, begin, observed, trainer

VOID = {"img", "input", "meta", "br"}


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects elements, references and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.references, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def report(path):
    text = write_report(path).read_text(encoding="utf-8")
    return text, Page(text)


def test_a_finished_run_is_shown_whole(finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "a run")
    values = {"fd": 12.3456, "coverage": 0.51}
    append_row(
        path / "metrics.jsonl", {"kind": "evaluate", "step": 10, "images": 80, "values": values, "protocol": {"features": "classifier 7"}}
    )
    _, page = report(path)
    for heading in ("Samples", "The run as a film", "Curves", "Evaluation", "The game", "Networks", "Configuration", "Data", "Next"):
        assert heading in page.words
    for told in (
        "GAN on digits",
        "80",
        "images seen (finished)",
        "12.35",
        "0.51",
        "classifier 7",
        "D(x), D(G(z))",
        "once a step",
    ):
        assert told in page.text, told
    assert page.tags.count("img") == 5 + 2 and page.tags.count("input") == 1, (
        "four frames in a film, the end, the grid, the way between codes"
    )
    assert page.tags.count("svg") == len(panels(read_rows(path / "metrics.jsonl"))) + 2, "evaluations stand over images and over minutes"
    assert f"ganvas sample '{path}' --count 100 --out samples.png" in page.text, "the path is quoted for the shell"
    assert f"ganvas interpolate '{path}'" in page.text and f"ganvas evaluate '{path}' --data digits" in page.text
    assert (path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_outside_the_file_is_asked_for(finished, tmp_path):
    text, page = report(shutil.copytree(finished, tmp_path / "run"))
    assert page.references and all(reference.startswith(("data:image/png;base64,", "#")) for reference in page.references)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)|fetch\(|https?://", re.sub(r"base64,[^\"]*", "", text))
    assert POLICY.startswith("default-src 'none'") and html.escape(POLICY) in text


def test_the_configuration_marks_what_is_not_the_papers(finished, tmp_path):
    text, _ = report(shutil.copytree(finished, tmp_path / "run"))
    rows = re.findall(r"<tr class=\"changed\"><td>(\w+)</td>", text)
    tiny, paper = catalog.open_model("gan").presets["tiny"], catalog.open_model("gan").config()
    differing = [name for name in vars(paper) if getattr(tiny, name) != getattr(paper, name)]
    assert differing and rows[: len(differing)] == differing
    assert explain.field_notes(type(paper))["z"] in text


def test_a_run_that_has_shown_nothing_yet_has_a_report_too(tmp_path):
    begin(tmp_path / "run")
    _, page = report(tmp_path / "run")
    for told in ("None were drawn yet.", "Nothing was logged yet.", "images seen (0% of the run)", "ganvas resume"):
        assert told in page.text, told
    assert not (tmp_path / "run" / "curves.png").exists()


def test_names_cannot_break_out_of_the_page(tmp_path):
    evil = "<script>alert('1')</script>"
    path = tmp_path / f"run {evil.replace('/', '')}"
    entry, model, examples = begin(path, classes=(evil, '"><img src=x onerror=alert(2)>', "\udce4"))
    t = trainer(model, examples, observers=observed(path, entry.card, examples.spec, data_name=evil))
    t.run()
    values = {"values": {evil: 1.0}, "shares": {evil: 0.5}, "protocol": {evil: evil}}
    append_row(path / "metrics.jsonl", {"kind": "evaluate", "step": 10, "images": 80} | values)
    append_row(path / "metrics.jsonl", {"kind": "train", "step": 11, "images": 88, "stage": evil, "seconds": 1.0, f"{evil[:8]}/x": 1.0})
    text, page = report(path)
    assert page.tags.count("script") == 1 and "onerror" not in {name for name in page.tags}
    assert "<img src=x" not in text and "a <b>note</b>" in page.text and evil in page.text


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(GanvasError, match="not a run directory"):
        write_report(tmp_path)


def test_the_observer_writes_at_the_end_but_not_when_interrupted(finished, tmp_path):
    path = shutil.copytree(finished, tmp_path / "run")
    _, model, examples = begin(tmp_path / "other")
    t = trainer(model, examples)
    ReportObserver(path).finish(t, "interrupted")
    assert not (path / "report.html").exists()
    ReportObserver(path).finish(t, "stopped")
    assert (path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("played", GAMES, ids=str)
def test_every_model_can_be_described(played):
    model, examples = played.model(), played.examples
    before = torch.get_rng_state()
    game = describe(model, examples.spec, 1000)
    assert torch.equal(torch.get_rng_state(), before)
    assert game.parameters == sum(p.numel() for p in model.parameters())
    assert game.stages[-1].end == 1000
    for phase in game.stages[-1].phases:
        assert phase.terms and phase.trains and not any("." in trained and " " in trained for trained in phase.trains)
    assert any(layer.output for network in game.networks for layer in network.layers)


def test_a_game_is_described_in_words():
    from ganvas.data.open import open_data

    examples = open_data("digits")
    game = describe(Means(examples.spec), examples.spec, 400)
    (stage,), (network,) = game.stages, game.networks
    assert (stage.name, stage.end, stage.batch) == ("only", 400, 8) and not game.adversarial
    assert stage.phases[0].terms == ("error",) and stage.phases[0].trains == ("means",)
    assert stage.phases[0].optimizer.startswith("Adam, lr 0.1 → 0 by schedule, betas (0.9, 0.99)")
    assert network.parameters == 640 and network.layers[0].weights == ((10, 64),) and network.layers[0].output == (64,)


class Unplayable(GenerativeModel):
    """Cannot be played on made-up data."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 2)

    def stages(self):
        phase = Phase(name="p", trains=(self.net,), loss=self.loss, optimizer=SGD(lr=0.1), every=4, repeat=lambda c: 2, when=bool, clip=1.0)
        return [Stage(name="s", phases=(phase,), images=8, batch=8)]

    def loss(self, step) -> Loss:
        raise GanvasError("only real data will do")

    def sample(self, n: int, *, condition: Condition | None = None, rng: Draws):
        return self.net(rng.normal(n, 2))


def test_a_game_that_cannot_be_tried_is_shown_without_terms():
    game = describe(Unplayable(), DataSpec(kind="points", shape=(2,)), 8)
    phase = game.stages[0].phases[0]
    assert phase.terms == () and game.parameters == 6
    assert phase.turn == "as often as its schedule says in one step of 4, its loss times 4, while its condition holds"
    assert phase.optimizer.endswith("gradient norm clipped at 1")


def test_words_on_curves_fit_the_game():
    gan, vae = catalog.card("gan"), catalog.card("vae")
    assert explain.ADVERSARIAL[0] in explain.curves(gan, adversarial=True)
    words = explain.curves(vae, adversarial=False)
    assert explain.COOPERATIVE[0] in words and explain.FAMILIES["variational"][0] in words
    assert [name for name, _ in explain.metrics(["fd", "something new"])] == ["fd"]
    assert explain.model_notes("dcgan")[0].startswith("What to expect.")


def test_every_number_of_an_evaluation_while_training_is_explained():
    features = ("fd", "precision", "recall", "density", "coverage", "classes", "confidence")
    points = ("wasserstein", "modes_found", "modes_of", "high_quality", "modes_kl")
    names = (*features, *points, "patch_kd", "diversity", "diversity_of")
    assert [name for name, _ in explain.metrics(names)] == list(names)
