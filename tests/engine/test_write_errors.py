"""A disk that is full, forbidden or cut off in the middle: the checkpoint before stays whole, the error says where and how much is free."""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ganvas.engine.checkpoints import Checkpoints
from ganvas.errors import GanvasError
from tests.engine.faults import STATE, command, run, start, tensors_of

# Saves step 1, does what it is told, and tries to save step 2 of a megabyte; prints the error.
SAVE = """
import os, resource, sys
from pathlib import Path
import torch
from ganvas.engine.checkpoints import Checkpoints
from ganvas.errors import GanvasError
from tests.engine.faults import STATE, tensors_of

def attempt(folder, fault):
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, tensors_of(1), STATE | {"step": 1})
    fault()
    try:
        checkpoints.save(2, tensors_of(2) | {"average": {"w": torch.zeros(250_000)}}, STATE | {"step": 2})
    except GanvasError as error:
        print(error, flush=True)
    else:
        print("saved", flush=True)

folder = Path(sys.argv[1])
"""


def checked(folder: Path, message: str) -> None:
    """The error names path and free bytes; of step 2 nothing is there; step 1 is whole; and saving works again afterwards."""
    assert re.fullmatch(rf"cannot write the checkpoint {folder}/step-0*2: .* \(\d+ bytes are free\)", message), message
    assert [path.name for path in folder.iterdir()] == ["step-000000000001"]
    checkpoints = Checkpoints(folder)
    assert checkpoints.newest(warn=pytest.fail).state == STATE | {"step": 1}
    checkpoints.save(3, tensors_of(3), STATE | {"step": 3})
    assert checkpoints.newest(warn=pytest.fail).state["step"] == 3


LIMIT = """
infinite = resource.RLIM_INFINITY
for limit in map(int, sys.argv[2:]):
    attempt(folder / str(limit), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, infinite)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (infinite, infinite))
"""


def test_a_limit_on_file_sizes(tmp_path):
    """The system's own fault injection: writing beyond the limit fails as it does on a full disk, in whichever file it is reached."""
    limits = (0, 100, 500, 1_000, 2_000, 100_000)
    messages = run(SAVE + LIMIT, tmp_path, *limits).splitlines()
    assert len(messages) == len(limits)
    for limit, message in zip(limits, messages, strict=True):
        assert "File too large" in message
        checked(tmp_path / str(limit), message)


def test_a_full_disk(tmp_path):
    """A file system of 256 KB, in a private name space: what is left on it is judged from inside."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"] if os.geteuid() else ["unshare", "--mount"]
    mount = f"mount -t tmpfs -o size=256k tmpfs {tmp_path}"
    if shutil.which("unshare") is None or subprocess.run([*alone, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    code = (
        SAVE
        + """
import contextlib, io
from tests.engine.test_write_errors import checked
with contextlib.redirect_stdout(io.StringIO()) as out:
    attempt(folder, lambda: None)
message = out.getvalue().strip()
checked(folder, message)
print(message)
"""
    )
    inside = ["sh", "-c", f'{mount} && exec "$@"', "sh", *command(code, tmp_path)]
    done = subprocess.run([*alone, *inside], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "no space left on device" in done.stdout.lower(), done.stdout + done.stderr


def test_a_directory_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as parent:  # not pytest's own, which nobody else may enter
        os.chmod(parent, 0o755)
        folder = Path(parent, "checkpoints")
        drop = """
def close():
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.setuid(65534)
attempt(folder, close)
"""
        message = run(SAVE + drop, folder).strip()
        folder.chmod(0o755)
        assert "Permission denied" in message
        checked(folder, message)


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(GanvasError, match=r"cannot write the checkpoint .*/checkpoints/step-0*1: .* bytes are free"):
        Checkpoints(tmp_path / "checkpoints").save(1, tensors_of(1), STATE)
    assert (tmp_path / "checkpoints").read_text() == "mine"
    with pytest.raises(GanvasError, match="bytes are free"):
        Checkpoints(tmp_path / "checkpoints" / "deeper").save(1, tensors_of(1), STATE)


# Saves steps 1, 2, 3, ... as fast as it can; each child of the fork goes on from what is there.
FOREVER = """
import os, sys
from pathlib import Path
from ganvas.engine.checkpoints import Checkpoints
from tests.engine.faults import STATE, tensors_of

checkpoints = Checkpoints(Path(sys.argv[1]), keep=2)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        found = checkpoints.newest(warn=print)
        step = found.state["step"] if found else 0
        while True:
            step += 1
            checkpoints.save(step, tensors_of(step), STATE | {"step": step})
    print(child, flush=True)
    os.waitpid(child, 0)
"""


def test_kills_in_the_middle_of_saving_leave_a_whole_checkpoint(tmp_path):
    rng, last, kills = random.Random(2), 0, 0
    process = start(FOREVER, tmp_path)
    try:
        while kills < 30 or last < 10:  # a slow machine needs more kills to get on
            kills += 1
            process.stdin.write("\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            time.sleep(rng.uniform(0.005, 0.06))
            os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
            found = Checkpoints(tmp_path).newest(warn=pytest.fail)
            if found is not None:
                step = found.state["step"]
                assert step >= last and float(found.tensors["model"]["scalar"]) == step
                last = step
        assert len(list(tmp_path.glob("*.tmp"))) <= 1
        Checkpoints(tmp_path, keep=2).save(last + 1, tensors_of(last + 1), STATE)
        assert [path.name for path in Checkpoints(tmp_path).paths()] == [f"step-{step:012d}" for step in (last, last + 1)]
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        process.kill()
        process.communicate()
