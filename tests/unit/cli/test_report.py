# SPDX-License-Identifier: MIT
"""Bug reports and shell completion."""

import json
import shutil
import stat
import subprocess
import tarfile

import pytest

from vagus.cli.completion import known, script
from vagus.cli.main import VERBS


def test_a_bug_report_holds_what_helps_and_no_secret(vagus, tmp_path):
    path = tmp_path / "report.tar.gz"
    path.write_text("an older one, which everybody could read")
    code, out, _ = vagus("bugreport", "-o", str(path))
    assert code == 0 and "nothing was sent" in out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        texts = {
            name.partition("/")[2]: archive.extractfile(name).read()
            for name in archive.getnames()
        }
    assert names >= {"README.txt", "doctor.json", "decisions.json", "windows.jsonl"}
    for name in names - {"README.txt"}:
        assert name.encode() in texts["README.txt"]
    assert len(json.loads(texts["decisions.json"])) == 2
    windows = [json.loads(line) for line in texts["windows.jsonl"].splitlines()]
    assert windows[-1]["window"]["tick"] == 90
    assert b"Keep the shop fast" in texts["policy.yaml"]
    assert not any(b"hunter2" in text for text in texts.values())


def test_what_a_bug_report_lacks_is_said(vagus, tmp_path):
    words = ["-o", str(tmp_path / "r.tar.gz"), "--record", "/none", "--json"]
    code, out, _ = vagus("bugreport", *words)
    assert code == 0
    assert "there is no record" in json.loads(out)["missing"]["the record"]


def test_a_place_that_cannot_be_written_is_said(vagus):
    code, _, err = vagus("bugreport", "-o", "/proc/nowhere/r.tar.gz")
    assert code == 6 and "-o" in err


def test_completion_knows_every_verb_and_option():
    words = known()
    assert set(words) == set(VERBS)
    assert "--unit" in dict(words["decisions"].options)
    assert "dump" in words["record"].choices and "--until" in dict(
        words["record"].options
    )
    assert "enforce" in words["mode"].choices


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_name_everything(vagus, shell):
    code, out, _ = vagus("completion", shell)
    assert code == 0
    for verb in VERBS:
        assert f" {verb}" in out or f"\t{verb}" in out or f"'{verb}:" in out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=out, text=True, check=True)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [("exp", ["explain"]), ("mode en", ["enforce"]), ("record du", ["dump"])],
)
def test_bash_completes(line, wanted):
    words = ["vagus", *line.split(" ")]
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"{script('bash')}\nCOMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1};"
        ' _vagus; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == wanted


def test_the_manual_names_every_verb_and_option(vagus):
    code, out, _ = vagus("man")
    assert code == 0
    for verb, words in known().items():
        assert f".SS {verb}\n" in out
        for option, _ in words.options:
            assert option in ("-h", "--help") or option.replace("-", "\\-") in out
    if shutil.which("groff"):
        told = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z"],
            input=out,
            text=True,
            capture_output=True,
            check=True,
        )
        assert told.stderr == ""
