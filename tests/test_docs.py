"""The README and the docs are true: tables are current, and every example runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.cli.list import markdown
from ganvas.cli.main import commands, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


PAGES = [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, page: str = "README.md") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)


def test_the_first_code_block_is_demo_and_test():
    first = re.search(r"^```\w*\n(.*?)^```", README, flags=re.M | re.S).group(1)
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


def test_the_table_of_models_is_the_catalogs():
    shown = re.search(r"<!-- models.*?-->\n(.*?)\n<!-- end of models -->", README, flags=re.S).group(1)
    assert shown.strip() == markdown(), "write the output of `ganvas list --markdown` between the marks"


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_and_snippet_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("ganvas ")]
    assert len(lines) >= 5
    for line in lines:
        words = shlex.split(line, comments=True)
        done = subprocess.run([sys.executable, "-m", "ganvas.cli.main", *words[1:]], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    snippets_run(blocks("python"), tmp_path)


def test_every_snippet_of_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    snippets = [snippet for page in PAGES for snippet in blocks("python", page)]
    assert snippets, "the pages in docs show how to use the package from Python"
    snippets_run(snippets, tmp_path)


def snippets_run(snippets, folder):
    for snippet in snippets:
        done = subprocess.run([sys.executable, "-W", "error", "-c", snippet], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{snippet}\n{done.stderr}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_explains_itself(name, capsys):
    assert commands()[name]
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"ganvas {name}" in capsys.readouterr().out
