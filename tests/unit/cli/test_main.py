# SPDX-License-Identifier: MIT
"""What every verb shares: help, exit codes, one sentence for an error."""

import contextlib
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vagus.cli.main import VERBS
from vagus.policy import describe, load

AGENT = Path(__file__).parents[3] / "agent"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(vagus, verb):
    code, out, err = vagus(verb, "--help")
    assert code == 0 and err == ""
    assert out.startswith(f"usage: vagus {verb}")
    assert "\n\n" in out


def test_help_names_every_verb_and_exit_code(vagus):
    code, out, _ = vagus("--help")
    assert code == 0
    for verb in VERBS:
        assert f"\n    {verb} " in out
    for number in (0, 1, 2, 3, 4, 5, 6, 7, 64, 130):
        assert f"{number} " in out.split("exit codes:")[1]
    assert max(map(len, out.splitlines())) <= 80


def test_no_verb_is_wrong_usage(vagus):
    code, out, _ = vagus()
    assert code == 64 and "usage" in out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["explian"], 64, "did you mean `vagus explain`?"),
        (["xyzzy"], 64, "see `vagus --help`"),
        (["explain"], 64, "required"),
        (["explain", "99"], 6, "`vagus decisions` lists"),
        (["explain", "9" * 20], 6, "`vagus decisions` lists"),
        (["replay", "--speed", "0"], 64, "above 0"),
        (["explain", "nobody"], 6, "no decision touched nobody"),
        (["decisions", "-t", "noonish"], 64, "'noonish' is no time"),
        (["decisions", "--record", "/nonexistent"], 6, "there is no record"),
        (["mode", "enforce"], 7, "start it with `vagus run`"),
        (["mode", "yolo"], 64, "invalid choice"),
        (["policy", "diff", "/nonexistent", "/nonexistent"], 2, "name a policy file"),
    ],
)
def test_an_error_is_one_sentence_with_its_code(vagus, words, code, sentence):
    got, out, err = vagus(*words)
    assert got == code
    assert sentence in err
    assert err.startswith("vagus") and err.count("\n") == 1
    assert out == ""


DAMAGE = {
    "pages": "UPDATE sqlite_master SET rootpage = 2 WHERE name = 'windows'",
    "window": "UPDATE windows SET data = x'00'",
    "prompt": "UPDATE decisions SET prompt = x'00'",
}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("pages", ["top", "--once"]),
        ("pages", ["record", "dump"]),
        ("window", ["replay", "--check", "--no-model"]),
        ("window", ["backtest"]),
        ("prompt", ["explain", "1"]),
        ("prompt", ["decisions"]),
    ],
)
def test_a_damaged_record_is_one_sentence(vagus, story, tmp_path, damage, words):
    path = tmp_path / "damaged.db"
    shutil.copy(story, path)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(DAMAGE[damage])
    code, _, err = vagus(*words, "--record", str(path))
    assert code == 6, err
    last = err.splitlines()[-1]
    assert last.startswith("vagus: the record ") and ".recover" in last


@pytest.mark.parametrize("words", [["off"], ["verify"]])
def test_bindings_that_are_not_built_are_one_sentence(tmp_path, words):
    shutil.copytree(
        AGENT / "vagus", tmp_path / "vagus", ignore=shutil.ignore_patterns("_native*")
    )
    done = subprocess.run(
        [sys.executable, "-m", "vagus.cli.main", *words],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert "make bindings" in done.stderr


def test_start_up_is_fast_and_imports_no_more_than_needed():
    """Under ten times what Python itself takes, which is some 100 ms when quiet.

    Both are CPU time, and the best of several: a crowded host adds to each alike.
    """
    env = {"PYTHONPATH": str(AGENT), "PATH": "/usr/bin", "VAGUS_RECORD": "/none"}
    check = (
        "import sys; from vagus.cli.main import main; main(['decisions']);"
        "print(*(name for name in ('textual', 'rich', 'pydantic', 'yaml', 'pyroute2',"
        " 'numpy', 'llama_cpp') if name in sys.modules))"
    )

    def run(code):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return used, done.stdout

    _, imported = run(check)
    assert imported.strip() == ""
    used = [(run(check)[0], run("")[0]) for _ in range(7)]
    assert min(ours for ours, _ in used) < 10 * min(bare for _, bare in used)


def test_a_closed_pipe_is_no_error(story):
    env = {"PYTHONPATH": str(AGENT), "PATH": "/usr/bin", "VAGUS_RECORD": str(story)}
    command = [sys.executable, "-m", "vagus.cli.main", "record", "dump"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        json.loads(child.stdout.readline())
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 0


def test_policy_explain_and_default_print_json(vagus):
    _, out, _ = vagus("policy", "explain", "budget.lease", "--json")
    found = json.loads(out)
    assert (found["field"], found["default"]) == ("budget.lease", "10s")
    assert found["about"] and found["below"] == {}
    _, out, _ = vagus("policy", "explain", "limits.cpu.weight", "--json")
    assert "the kernel takes 1 to 10000" in json.loads(out)["kernel"]
    _, out, _ = vagus("policy", "explain", "--json")
    assert set(json.loads(out)["below"]) >= {"mode", "budget", "workloads"}
    _, out, _ = vagus("policy", "default", "--json")
    assert describe.diff(load.default(), load.loads(out)) == []
