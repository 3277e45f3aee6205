"""HTML that cannot be broken by a name: text is escaped unless it is `Markup`, which only this file makes from tags."""

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import final

from ganvas.diagnostics.embed import embedded

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
PICTURE, FILM = 160_000, 900_000  # bytes that a picture, and all frames of a film together, may take

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --faint: #5f6770; --line: #e3e6ea; --soft: #f6f7f9; --mark: #0072b2;
  --curve0: #0072b2; --curve1: #d55e00; --curve2: #009e73; --curve3: #cc79a7; --curve4: #e69f00; --curve5: #56b4e9; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --ink: #e4e7ea; --faint: #9ba3ac; --line: #31373d; --soft: #1e2226; --mark: #6cb8ec;
    --curve0: #4ba3e3; --curve1: #f0803c; --curve2: #2fc49a; --curve3: #dd98be; --curve4: #efb53a; --curve5: #8ccdf2; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 28px 24px 60px; font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--page); }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 18px; margin: 38px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0 10px; max-width: 78ch; overflow-wrap: anywhere; }
.faint { color: var(--faint); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 18px 0 0; }
.facts div { background: var(--soft); border-radius: 8px; padding: 10px 12px; }
.facts b { display: block; font-size: 19px; line-height: 1.25; font-weight: 600; }
.facts span { color: var(--faint); font-size: 13px; }
.pictures { display: flex; flex-wrap: wrap; gap: 20px; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figcaption { color: var(--faint); font-size: 13px; margin-top: 4px; width: 0; min-width: 100%; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px; display: block; }
svg { width: 100%; height: auto; display: block; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); gap: 8px 16px; margin: 8px 0 12px; }
.pairs { grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 346px)); max-width: 730px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; margin: 6px 0 12px; }
th, td { text-align: left; vertical-align: top; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { font-weight: 600; color: var(--faint); }
td:first-child { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.changed td:first-child, tr.changed td:nth-child(2) { font-weight: 600; color: var(--mark); }
code, pre { font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: var(--soft); border-radius: 8px; padding: 10px 12px; overflow-x: auto; }
details { margin: 6px 0; } summary { cursor: pointer; }
.film img { display: none; } .film img.now { display: block; }
.film .controls { display: none; } .film.moving .controls { display: flex; gap: 12px; align-items: center; margin: 8px 0 2px; }
.film input { flex: 1; min-width: 0; max-width: 420px; accent-color: var(--mark); }
.film button { font: inherit; padding: 2px 12px; min-width: 66px; }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
@media (max-width: 560px) { body { padding: 18px 14px 40px; } td:first-child { white-space: normal; } th, td { padding-right: 10px; } }
@media print { .film .controls { display: none !important; } }
"""

# The film: a slider and a button over pictures of which one is shown. It reads no text but its own.
SCRIPT = """
for (const film of document.querySelectorAll(".film")) {
  const slider = film.querySelector("input"), button = film.querySelector("button"), caption = film.querySelector("figcaption");
  const frames = [...film.querySelectorAll("img")];
  film.classList.add("moving");
  let timer = null;
  const show = (at) => {
    frames.forEach((frame, i) => frame.classList.toggle("now", i === at));
    slider.value = at;
    caption.textContent = frames[at].alt;
    slider.setAttribute("aria-valuetext", frames[at].alt);
  };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  button.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (Number(slider.value) === frames.length - 1) show(0);
    button.textContent = "Stop";
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      if (next >= frames.length) stop(); else show(next);
    }, 450);
  });
  show(frames.length - 1);
}
"""


@final
class Markup(str):
    """HTML that is written as it is."""


def escaped(text: str) -> Markup:
    """`text` with every character that means something in HTML replaced; what cannot be encoded (an undecodable file name) becomes '?'."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(text.encode("utf-8", "replace").decode(), quote=True))


def tag(name: str, *children: str, attributes: Mapping[str, str] | None = None, kind: str = "") -> Markup:
    """An element with its children; `kind` is its class."""
    pairs = ({"class": kind} if kind else {}) | dict(attributes or {})
    opening = "".join(f' {key}="{escaped(value)}"' for key, value in pairs.items())
    return Markup(f"<{name}{opening}>{''.join(escaped(child) for child in children)}</{name}>")


def empty(name: str, attributes: Mapping[str, str]) -> Markup:
    """An element that has no content (img, input, meta)."""
    return Markup(f"<{name}" + "".join(f' {key}="{escaped(value)}"' for key, value in attributes.items()) + ">")


def joined(parts: Iterable[str], between: str = "") -> Markup:
    """Children one after another."""
    return Markup(escaped(between).join(escaped(part) for part in parts))


def picture(path: Path, alt: str, kind: str = "", limit: int = PICTURE) -> Markup:
    """A picture inside the page, in at most about `limit` bytes."""
    return empty("img", {"src": embedded(path, limit), "alt": alt} | ({"class": kind} if kind else {}))


def figure(path: Path, caption: str) -> Markup:
    return tag("figure", picture(path, caption), tag("figcaption", caption))


def film(frames: Sequence[tuple[Path, str]]) -> Markup:
    """Pictures in time under a slider that the arrow keys move; without scripts the last one."""
    last = len(frames) - 1
    limit = min(PICTURE, FILM // len(frames))
    images = [picture(path, caption, "now" if i == last else "", limit) for i, (path, caption) in enumerate(frames)]
    settings = {"type": "range", "min": "0", "max": str(last), "value": str(last), "step": "1", "aria-label": "training examples seen"}
    controls = tag("div", tag("button", "Play", attributes={"type": "button"}), empty("input", settings), kind="controls")
    return tag("figure", *images, controls, tag("figcaption", frames[-1][1]), kind="film")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), changed: Iterable[int] = ()) -> Markup:
    """A table; columns `numbers` are set to the right, rows `changed` stand out."""
    right, marked = set(numbers), set(changed)
    lines = []
    for i, row in enumerate(rows):
        cells = [tag("td", cell, kind="number" if j in right else "") for j, cell in enumerate(row)]
        lines.append(tag("tr", *cells, kind="changed" if i in marked else ""))
    heading = (
        tag("thead", tag("tr", *(tag("th", title, kind="number" if j in right else "") for j, title in enumerate(head))))
        if head
        else Markup("")
    )
    return tag("div", tag("table", heading, tag("tbody", *lines)), kind="scroll")


def prose(text: str) -> Markup:
    """Text of our own, in which words between backticks are code."""
    return joined(tag("code", part) if i % 2 else part for i, part in enumerate(text.split("`")))


def paragraphs(texts: Iterable[str]) -> Markup:
    return joined(tag("p", prose(text)) for text in texts)


def document(title: str, body: Markup) -> str:
    """A whole page that asks nothing of the network: its policy forbids every request."""
    head = joined(
        (
            empty("meta", {"charset": "utf-8"}),
            empty("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}),
            empty("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
            tag("title", title),
            tag("style", Markup(STYLE)),
        )
    )
    page = tag("html", tag("head", head), tag("body", body, tag("script", Markup(SCRIPT))), attributes={"lang": "en"})
    return f"<!doctype html>\n{page}\n"
