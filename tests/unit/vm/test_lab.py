# SPDX-License-Identifier: MIT
"""The lab's runner on the host: what is done is left out, time left is said."""

import importlib.util
import io
import json
import subprocess
from pathlib import Path

import pytest

PATH = Path(__file__).parents[3] / "vm/lab.py"
spec = importlib.util.spec_from_file_location("vm_lab", PATH)
assert spec and spec.loader
lab = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lab)

BOOT = {"scenario": "web", "variant": "named", "number": 1, "seed": 1}
BOOT |= {"arms": ["default", "expert"], "virtual_s": 100.0}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder whose VM is a script that writes what play.py would."""
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm/run.py").write_text(
        "import pathlib, sys\n"
        "line = sys.argv[-1]; words = line.split()\n"
        "folder = pathlib.Path(words[words.index('tests/scenarios/play.py') + 4])\n"
        "print('@ booted'); print('@ alone'); print('@ default (20 s)')\n"
        "if pathlib.Path('broken').exists(): sys.exit('the kernel is gone')\n"
        "(folder / 'play.json').write_text('{}')\n"
        "with open('boots', 'a') as log: log.write(line + '\\n')\n"
    )
    plan = tmp_path / "plan"
    plan.write_text(json.dumps(BOOT) + "\n")
    monkeypatch.setattr(lab, "HERE", tmp_path)
    monkeypatch.setattr(lab, "version", lambda scenario: "v1")
    monkeypatch.setattr(lab, "about", lambda: {"command": "make bench-lab"})
    return tmp_path


def boots(checkout):
    """Return how often the VM was booted."""
    log = checkout / "boots"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_what_is_done_is_not_done_again(checkout, monkeypatch):
    assert [lab.main(checkout / "plan") for _ in range(2)] == [0, 0]
    about = checkout / ".output/lab/web-named-1/about.json"
    assert json.loads(about.read_text()) == {"command": "make bench-lab"}
    assert boots(checkout) == 1
    monkeypatch.setattr(lab, "version", lambda scenario: "v2")
    assert lab.main(checkout / "plan") == 0
    assert boots(checkout) == 2


def test_other_arms_are_another_measurement(checkout):
    lab.main(checkout / "plan")
    (checkout / "plan").write_text(json.dumps(BOOT | {"arms": ["default"]}) + "\n")
    lab.main(checkout / "plan")
    assert boots(checkout) == 2


def test_boot_that_fails_fails_the_run_and_is_played_again(checkout, capsys):
    (checkout / "broken").touch()
    assert lab.main(checkout / "plan") != 0
    assert "lab: web-named-1 failed" in capsys.readouterr().err
    (checkout / "broken").unlink()
    assert lab.main(checkout / "plan") == 0
    assert boots(checkout) == 1


def test_bar_says_how_far_and_how_long(capsys):
    out = io.StringIO()
    bar = lab.Bar(100.0, out)
    first = bar.line("x")
    bar.done_s = 50.0
    assert "[........................]" in first and "left  x" in first
    assert "[############............]" in bar.line("x")
    bar.show("halfway")
    assert out.getvalue().endswith("left  halfway\n")


def test_version_follows_what_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "HERE", tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    folder = tmp_path / "tests/scenarios"
    folder.mkdir(parents=True)
    before = lab.version("web")
    for name, counts in (("report.py", False), ("cache.yaml", False)):
        (folder / name).write_text("1")
        assert (lab.version("web") != before) is counts
    for name in ("web.yaml", "play.py"):
        (folder / name).write_text("1")
        assert lab.version("web") != before
        before = lab.version("web")
