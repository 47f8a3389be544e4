"""Frequent commands are fast: no heavy import, at most ten times the CPU time of bare Python."""

import os
import statistics
import subprocess
import sys

import pytest

HEAVY = (
    "keras",
    "tensorflow",
    "numpy",
    "pandas",
    "rich",
    "matplotlib",
    "sklearn",
    "PIL",
    "difflib",
    "importlib.metadata",
)
LIGHT = {
    "--help": {},
    "list": {},
    "list --json": {},
    "list --family resnet": {},
    "list --pretrained --from timm": {},
    "show resnet50": {},
    "show resnet50 --weights": {},
    "show resnet20_cifar10": {},
    "show --help": {},
    "predict --help": {},
    "see --help": {},
    "see --list": {},
    "see smoothgrad --list": {},
    "completion bash": {},
    "complete": {"_KERASCNN_COMPLETE": "bash_complete", "COMP_WORDS": "kerascnn show res", "COMP_CWORD": "2"},
}
PROGRAM = "from kerascnn_apps.main import main; main()"
WATCHED = f"""
import sys
from kerascnn_apps.main import main
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("line", LIGHT)
def test_no_heavy_import(process, line):
    done = process(*line.split(), code=WATCHED, **LIGHT[line])
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[]"
    assert len(done.stdout) > 100 or line == "complete"


def cpu(program, *words, **environment):
    """Seconds of CPU time that a process takes."""
    command = [sys.executable, "-c", program, *words]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell a child's CPU time")
def test_cpu_time(tmp_path):
    """Medians of interleaved runs, so that what else the machine does meets all alike; byte code is there."""
    compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    lines = ["--help", "list", "show resnet50", "complete"]
    bare, times = [], {line: [] for line in lines}
    for _ in range(8):
        bare.append(cpu("pass", **compiled))
        for line in lines:
            times[line].append(cpu(PROGRAM, *line.split(), **compiled, **LIGHT[line]))
    first = 1  # the run that compiles
    bare = statistics.median(bare[first:])
    ratios = {line: statistics.median(found[first:]) / bare for line, found in times.items()}
    assert max(ratios.values()) <= 10, ratios
