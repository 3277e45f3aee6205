"""The house rules that a machine can hold: who may import whom, how large things may be, and what is written nowhere.

The rules are in the section "Rooms" of the architecture; each test below states its own.
"""

import ast
import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "src" / "ganvas"
FILES = sorted(HOUSE.rglob("*.py"))
MODELS = sorted(path.stem for path in (HOUSE / "models").glob("*.py") if path.stem != "__init__")

# What the lower rooms may import of the house; a name covers what lies below it. Rooms that are not listed sit above: they may use
# everything except single models.
ERRORS = ("ganvas.errors",)
CONTRACT = tuple(f"ganvas.engine.{name}" for name in ("contract", "capabilities", "optimizers", "clock", "card", "draws"))
ARROWS = {
    "data": (*ERRORS, "ganvas.data"),
    "engine": (*ERRORS, "ganvas.data", "ganvas.engine"),
    "parts": (*ERRORS, "ganvas.data.batch", "ganvas.parts", *CONTRACT),
    "models": (*ERRORS, "ganvas.parts", *CONTRACT),
    "metrics": (*ERRORS, "ganvas.data", "ganvas.engine", "ganvas.metrics"),
    "errors.py": (),
    "__init__.py": (*ERRORS, "ganvas.api", "ganvas.run"),
    "catalog.py": (*ERRORS, "ganvas.engine.card"),
}


@functools.cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path))


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, str, Any]]:
    """Every node of some kinds in the house: its file, where to find it, and the node."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, kinds):
                yield path, f"{path.relative_to(HOUSE)}:{node.lineno}", node


@functools.cache
def is_module(name: str) -> bool:
    where = ROOT / "src" / Path(*name.split("."))
    return where.with_suffix(".py").exists() or (where / "__init__.py").exists()


def imports() -> Iterator[tuple[Path, str, str]]:
    """File, place and name of every module that is imported, at the head or within; `from a import b` is a.b where that is a module."""
    for path, place, node in nodes(ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((path, place, alias.name) for alias in node.names)
        else:
            assert node.level == 0, f"{place} imports relatively"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield path, place, below if is_module(below) else str(node.module)


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_the_house_is_found():
    assert len(FILES) > 40 and MODELS and all((HOUSE / room).exists() for room in ARROWS)


def test_arrows_point_one_way():
    wrong = []
    for path, place, name in imports():
        room = path.relative_to(HOUSE).parts[0]
        if name.split(".")[0] == "ganvas" and room in ARROWS:
            if not any(name == home or name.startswith(home + ".") for home in ARROWS[room]):
                wrong.append(f"{place} imports {name}, which is not below it")
    assert wrong == []


def test_only_the_catalog_opens_a_single_model():
    assert [f"{place} imports {name}" for _, place, name in imports() if name.startswith("ganvas.models.")] == []
    assert [path.name for path in FILES if "ganvas.models" in text(path)] == ["catalog.py"]


def test_no_room_decides_by_the_name_of_a_model():
    """Outside its own file a model's name stands in no comparison, no `match` and no table."""
    wrong = []
    for path, place, node in nodes(ast.Compare, ast.MatchValue, ast.Dict):
        parts: list[ast.expr | None]
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        else:
            parts = node.keys if isinstance(node, ast.Dict) else [node.value]
        constants = {leaf.value for part in parts if part is not None for leaf in ast.walk(part) if isinstance(leaf, ast.Constant)}
        if path.parent.name != "models" and constants & set(MODELS):
            wrong.append(f"{place}: {constants & set(MODELS)}")
    assert wrong == []


def test_nobody_asks_for_a_model_by_its_class():
    """`isinstance` asks for capabilities; a model's classes are known in its own file only."""
    own = {node.name for model in MODELS for node in tree(HOUSE / "models" / f"{model}.py").body if isinstance(node, ast.ClassDef)}
    own -= {"Config", "Generator", "Discriminator"}  # names that torch and others use, too
    wrong = []
    for path, place, node in nodes(ast.Call):
        if path.parent.name != "models" and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = {leaf.id for leaf in ast.walk(node.args[1]) if isinstance(leaf, ast.Name)}
            wrong += [f"{place}: {name}" for name in asked & own]
    assert wrong == []


def test_files_and_functions_fit():
    files = {path.name: len(text(path).splitlines()) for path in FILES}
    assert {name: lines for name, lines in files.items() if lines > 500} == {}
    functions = [(f"{place} {node.name}", length(node)) for _, place, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)]
    assert [(name, lines) for name, lines in functions if lines > 60] == []


def test_the_loop_and_the_contract_stay_small():
    assert len(text(HOUSE / "engine" / "loop.py").splitlines()) < 250
    classes = [node for node in tree(HOUSE / "engine" / "contract.py").body if isinstance(node, ast.ClassDef)]
    assert {node.name: length(node) for node in classes if length(node) >= 120} == {}


def test_every_model_has_its_test_file_and_every_test_file_its_model():
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "models").glob("test_*.py")}
    assert tests == set(MODELS)


FORBIDDEN_CALLS = {
    "hasattr",  # ask for a capability, or require the attribute
    *("eval", "exec", "compile", "__import__"),  # never run text
    *("torch.load", "torch.save", "torch.jit.load", "pickle.load", "pickle.loads"),  # weights are safetensors
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "torchvision"}


# The one file of somebody else's format, which exists in no other: tensors alone are read (weights_only), and only of the bytes whose hash
# stands in the file's name.
FOREIGN_WEIGHTS = HOUSE / "metrics" / "inception.py"


def test_what_is_never_called_or_imported():
    wrong = []
    for path, place, node in nodes(ast.Call):
        name, said = ast.unparse(node.func), [ast.unparse(keyword) for keyword in node.keywords]
        foreign = path == FOREIGN_WEIGHTS and name == "torch.load" and "weights_only=True" in said
        if name in FORBIDDEN_CALLS and not foreign:
            wrong.append(f"{place}: {name}")
    assert wrong == []
    assert [f"{place}: {name}" for _, place, name in imports() if name.split(".")[0] in FORBIDDEN_MODULES] == []
    assert [place for _, place, node in nodes(ast.keyword) if node.arg == "allow_pickle" and ast.unparse(node.value) != "False"] == []


def test_public_signatures_say_what_they_take():
    wrong = []
    for _, place, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        if node.args.kwarg is not None and (not node.name.startswith("_") or node.name in ("__init__", "__call__")):
            wrong.append(f"{place}: {node.name} takes **{node.args.kwarg.arg}")
    assert wrong == []


def test_no_module_state():
    """No `global`: what changes belongs to an object that somebody owns."""
    assert [place for _, place, _ in nodes(ast.Global)] == []


def test_no_deeds_at_the_head_of_a_file():
    """There stand names: imports, definitions, assignments; no loop, no `with`, no bare call."""
    names = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    wrong = []
    for path in FILES:
        for node in tree(path).body:
            said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            guarded = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
            if not (said or guarded or isinstance(node, names)):
                wrong.append(f"{path.relative_to(HOUSE)}:{node.lineno}")
    assert wrong == []


DEEDS = """
import importlib, os, sys
import torch

def state():
    import random
    import numpy as np
    return [torch.get_rng_state().tolist(), torch.get_num_threads(), torch.get_default_dtype() == torch.float32, random.getstate()[1],
            np.random.get_state()[1].tolist(), torch.are_deterministic_algorithms_enabled(), dict(os.environ), os.listdir(os.getcwd())]

before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert state() == before
"""


def child(code: str, *arguments: str, where: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code, *arguments]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, cwd=where, timeout=240)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done.stdout + done.stderr


def modules() -> list[str]:
    names = (".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in FILES)
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_importing_everything_changes_nothing(tmp_path):
    """No generator moves, no thread count, no environment; nothing is printed and no file appears."""
    child(DEEDS, *modules(), where=tmp_path)


LIGHT = """
import sys
import ganvas, ganvas.errors, ganvas.catalog
assert [ganvas.catalog.card(name).title for name in ganvas.catalog.names()]
heavy = {"torch", "numpy", "sklearn", "matplotlib", "PIL", "pydantic"} & set(sys.modules)
assert not heavy, heavy
"""


def test_listing_is_light(tmp_path):
    """`import ganvas`, the catalog and the errors import neither torch nor anything else that takes time."""
    child(LIGHT, where=tmp_path)


def test_a_class_is_abstract_or_final():
    """No class that can be built is subclassed (errors excepted, which are told apart by kind)."""
    found = {thing for name in modules() for thing in vars(import_module(name)).values() if inspect.isclass(thing)}
    ours = {thing for thing in found if thing.__module__.split(".")[0] == "ganvas" and not issubclass(thing, BaseException)}
    bases = {base for thing in ours for base in thing.__bases__} & ours
    assert [base for base in bases if not inspect.isabstract(base) and not getattr(base, "_is_protocol", False)] == []
    assert [thing for thing in ours if inspect.isabstract(thing) and getattr(thing, "__final__", False)] == []
