# SPDX-License-Identifier: MIT
"""Identity cards from a tree of system files."""

import pytest

from vagus.decide.engine import Engine
from vagus.decide.identity import LONG, NO_PACKAGE, Describer, Package, read_status
from vagus.decide.prompt import time_of
from vagus.decide.role import UNKNOWN, RoleBook, believed, telling
from vagus.flow import Found, Identity, Role
from vagus.record.redact import redactor

STATUS = """Package: nginx
Status: install ok installed
Section: non-free/httpd
Description: small, powerful, scalable web/proxy server
 Nginx ("engine X") is
  a high-performance web server.
 .
 It is small.
Homepage: https://nginx.example

Package: restic
Maintainer: x
Description: backup program with multiple revisions
 restic is ...

Package: bare
Status: install ok installed
"""


@pytest.fixture
def root(tmp_path):
    files = {
        "var/lib/dpkg/status": STATUS,
        "var/lib/dpkg/info/nginx.list": "/.\n/usr\n/usr/sbin\n/usr/sbin/nginx\n",
        "var/lib/dpkg/info/restic:amd64.list": "/.\n/bin/restic\n/etc/restic.conf\n",
        "var/lib/dpkg/info/bare.list": "/usr/bin/bare\n",
        "usr/lib/systemd/system/shop.service": "[Unit]\nDescription=The shop\n",
        "usr/lib/systemd/system/job@.service": "[Unit]\nDescription=Job %i\n",
        "etc/systemd/system/shop.service": "[Unit]\nDescription=Our shop\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cmdline").write_bytes(b"nginx\0-g\0--password=x\0")
    return tmp_path


def found(unit="shop.service", exe="/usr/sbin/nginx", comms=("nginx",), pids=(7,)):
    return Found("shop", "/x", 1, unit=unit, exe=exe, comms=comms, pids=pids)


def test_the_card_says_what_the_machine_knows(root):
    card = Describer(root, redactor().text).describe(found())
    assert card == Identity(
        "Our shop",
        "small, powerful, scalable web/proxy server",
        "httpd",
        'Nginx ("engine X") is a high-performance web server. It is small.',
        "/usr/sbin/nginx",
        "nginx",
        card.args,
    )
    assert card.args.startswith("-g") and "password=x" not in card.args
    assert Describer(root).describe(found()).args == ""


def test_what_a_unit_or_a_process_says_of_itself_is_redacted(root):
    """A transient unit's Description= is its command line."""
    unit = root / "run/systemd/transient/run-u1.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\nDescription=/usr/bin/x --password=hunter2\n")
    card = Describer(root, redactor().text).describe(
        found("run-u1.service", comms=("token=hunter2",))
    )
    assert card.unit_description == "/usr/bin/x --password=[redacted]"
    assert "hunter2" not in str(card)
    assert card.synopsis and card.exe  # of the system: as they are


def test_merged_folders_templates_and_what_is_unknown(root):
    describer = Describer(root)
    assert describer.package("/usr/bin/restic").synopsis.startswith("backup program")
    assert describer.package("/etc/restic.conf") == NO_PACKAGE
    assert describer.package("/usr/bin/bare") == describer.package("") == NO_PACKAGE
    assert describer.unit_description("job@3.service") == "Job %i"
    assert describer.unit_description("../../etc/passwd") == ""
    assert describer.describe(found("", "", (), ())) == Identity()


def test_a_card_is_made_once(root):
    describer = Describer(root)
    first = describer.describe(found())
    (root / "etc/systemd/system/shop.service").unlink()
    assert describer.describe(found()) is first


def test_the_status_file_of_this_system_is_read():
    packages = read_status(STATUS)
    assert packages.keys() == {"nginx", "restic"}  # the third says nothing of itself
    assert packages["restic"] == Package(
        "backup program with multiple revisions", "", "restic is ..."
    )


def test_a_long_description_is_cut_and_cannot_speak_to_a_terminal():
    text = "Package: a\nDescription: b\n" + " \x1b[2J word\n" * 100
    description = read_status(text)["a"].description
    assert description.startswith("\\x1b[2J word") and len(description) == LONG


def test_without_a_model_roles_are_the_default_or_the_policys():
    book = RoleBook(None)
    assert book.role(Identity(synopsis="web server")) == UNKNOWN
    given = Role("database", "service", "policy")
    assert book.role(Identity(), given) == given
    half = Role("backup", "unknown", "policy")
    assert book.role(Identity(), half) == Role("backup", "deferrable", "policy")


@pytest.mark.needs("model")
def test_the_model_is_asked_once_for_each_identity():
    with Engine() as engine:
        while not engine.ready:
            engine.pump()
        book = RoleBook(engine)
        card = Identity(synopsis="backup program with encryption", comm="restic")
        assert book.role(card) == UNKNOWN  # does not wait
        while engine.busy:
            engine.pump()
        role = book.role(card)
        assert role.source == "model"
        for _ in range(5):
            assert book.role(card) == role
        assert engine.state().calls == 1


@pytest.mark.parametrize(
    ("exe", "comm", "args", "told"),
    [
        ("/usr/bin/dash", "sh", "-c while :; do :; done", False),
        ("/usr/bin/python3.13", "python3", "/opt/shop/app.py", False),
        ("", "bash", "/tmp/loop.sh", False),
        ("/usr/bin/bash", "bash", "", True),
        ("/usr/sbin/nginx", "nginx", "-g daemon off;", True),
        ("/usr/sbin/nginx", "sh", "-c x", True),
    ],
)
def test_an_interpreter_does_not_say_what_it_runs(exe, comm, args, told):
    card = Identity("Web shop", "GNU shell", "shells", exe=exe, comm=comm, args=args)
    assert telling(card) == (card if told else Identity("Web shop"))


@pytest.mark.parametrize(
    ("card", "role", "name"),
    [
        (Identity(comm="nginx", args="serve"), "web", "unknown"),
        (Identity(comm="nginx", exe="/tmp/nginx"), "web", "unknown"),
        (Identity(comm="nginx", exe="/usr/sbin/nginx"), "web", "web"),
        (Identity(comm="x", synopsis="a web server"), "web", "web"),
        (Identity(unit_description="The shop"), "web", "web"),
        (Identity(comm="restic", args="backup"), "backup", "backup"),
    ],
)
def test_nobody_comes_first_by_what_he_calls_himself(card, role, name):
    sense = time_of(role)
    found = believed(card, {"role": f"<{role}>", "time": f"<{sense}>"})
    assert found.name == name
    assert found.time_sense == ("unknown" if name == "unknown" else sense)
