# SPDX-License-Identifier: MIT
"""Secrets go, everything else stays."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vagus.flow import Identity
from vagus.policy import nodes
from vagus.policy.load import loads
from vagus.record import redact, redact_policy
from vagus.record.redact import MARK, record, redactor

DIGITS = "01234567890123456789"
SECRETS = [
    ("restic --password=hunter2 backup", "hunter2"),
    ("mysqldump --password hunter2 shop", "hunter2"),
    ("mysql -uroot -phunter2 shop", "hunter2"),
    ("PGPASSWORD=hunter2 psql", "hunter2"),
    ("env AWS_SECRET_ACCESS_KEY='abc def' aws s3 ls", "abc def"),
    ("aws configure AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("curl -H 'Authorization: Bearer abc.def-123' https://x", "abc.def-123"),
    ('curl -H "Authorization: Basic dXNlcjpwYXNz" x', "dXNlcjpwYXNz"),
    ("curl -u admin:hunter2 https://x", "hunter2"),
    ("curl --user admin:hunter2 https://x", "hunter2"),
    ("git clone https://me:hunter2@example.org/x.git", "hunter2"),
    ("git clone https://0123456789abcdef@example.org/x.git", "0123456789abcdef"),
    ("restic -r rest:https://u:p4ss@host/ backup", "p4ss"),
    ("app --api-key 12345 --verbose", "12345"),
    ("app --token=12345", "12345"),
    ("app --db-pass 12345", "12345"),
    ("export mypassword=12345", "12345"),
    ("app api_key:12345", "12345"),
    ('{"password": "hunter2"}', "hunter2"),
    ("sshpass -p hunter2 ssh host", "hunter2"),
    ("gh ghp_0123456789abcdefghijABCDEFGHIJ", "ghp_0123456789abcdefghijABCDEFGHIJ"),
    ("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIiOiIxIn0"),
    (
        "key 5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b",
        "5f4dcc3b5aa765d61d8327deb882cf99",
    ),
    ("k QWxhZGRpbjpvcGVuIHNlc2FtZTEyMzQ1Njc4OTA=", "QWxhZGRpbjpvcGVuIHNlc2FtZTEy"),
    ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "abc"),
    ("Cookie: session=abcdef", "abcdef"),
    ("aws configure ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
    ("mariadb -phunter2 shop", "hunter2"),
    ("gpg --passphrase hunter2 x", "hunter2"),
    ("app credentials=12345", "12345"),
    ("app session-key: 12345", "12345"),
    ("app --auth 12345", "12345"),
    ("app pwd=12345", "12345"),
    *((f"gh {kind}_{DIGITS}", DIGITS) for kind in ("gho", "ghu", "ghs", "ghr")),
    *((f"git {kind}{DIGITS}", DIGITS) for kind in ("github_pat_", "glpat-")),
    *((f"x {kind}-{DIGITS}", DIGITS) for kind in ("xoxb", "XOXP", "sk")),
    (f"maps AIza{DIGITS}{DIGITS}", DIGITS),
    ("\u017fecret=hunter2", "hunter2"),  # beyond ASCII other letters are alike too
]

HARMLESS = [
    "nginx: worker process",
    "restic backup /home --exclude=/home/cache",
    "gcc -O2 -o build/main.o src/main.c",
    "/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main",
    "rsync -a user@host:/srv /backup",
    "curl https://example.org:8443/path?x=1",
    "python -m compass --author me",
    "tokenize --passes 3",
    "memory.high 536870912",
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secret_is_taken_out(text, secret):
    clean = redactor().text(text)
    assert secret not in clean
    assert MARK in clean


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text):
    assert redactor().text(text) == text


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_redacting_twice_changes_nothing(text, secret):
    once = redactor().text(text)
    assert redactor().text(once) == once


@given(st.from_regex(r"[A-Z0-9]{6,20}", fullmatch=True))
def test_password_of_any_shape_is_taken_out(secret):
    clean = redactor().text(f"app --db-password={secret} run")
    assert clean == f"app --db-password={MARK} run"


@given(st.text(max_size=300))
def test_any_text_is_taken(text):
    clean = redactor().text(text)
    assert redactor().text(clean) == clean


PIECES = [word for text, _ in SECRETS for word in text.split()]
PIECES += [*"-:=@/ \"'K\u212a", "to\u212aen=", "a" * 40]


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(["", " "]))))
def test_to_leave_out_patterns_that_cannot_fit_changes_nothing(pieces):
    text = clean = "".join(map("".join, pieces))
    for pattern, _ in redactor().patterns:
        clean = pattern.sub(redact._hide, clean)
    assert redactor().text(text) == clean


def test_nothing_that_a_process_or_unit_chose_is_stored_raw(tick_record):
    one = tick_record(31)
    shop = one.window.workloads["shop"]
    own = Identity("x --password=hunter2", comm="token=hunter2", args="-p pwd=hunter2")
    loads = {"shop": replace(shop, identity=own, programs=["token=hunter2", "nginx"])}
    event = replace(one.events[0], comm="pass=hunter2")
    one = replace(
        one, window=replace(one.window, workloads=loads), events=[event, *one.events]
    )
    clean = record(one, redactor())
    assert b"hunter2" not in msgspec.json.encode(clean)
    assert clean.window.workloads["shop"].programs == [f"token={MARK}", "nginx"]
    assert record(clean, redactor()) == clean
    assert record(one, redactor(builtin=False)) is one


def test_patterns_can_be_added_and_the_built_in_ones_left_out():
    assert redactor([r"shop-\d+"]).text("see shop-123") == f"see {MARK}"
    assert redactor([r"id=(?P<secret>\d+)"]).text("id=7") == f"id={MARK}"
    assert redactor(builtin=False).text("--password=x") == "--password=x"


HEX = "0123456789abcdef" * 4
HARD = f"""\
version: 1
objective: Keep the shop fast.
workloads:
  auth: {{match: {{cgroup: "docker-{HEX}.scope"}}}}
  token: {{match: {{comm: [basic, secret]}}}}
record: {{secrets: ["shop-\\\\d+", 'id=(?P<secret>x)']}}
never_touch: [{HEX}, "password:x"]
"""


def test_a_policy_without_secrets_is_kept_as_it_is():
    keep = loads(HARD).record
    assert redact_policy.policy(HARD, redactor(keep.secrets)) == (HARD, False)


@pytest.mark.parametrize(
    ("text", "wanted", "is_altered"),
    [
        ("objective: pwd=hunter2 # x", f'objective: "pwd={MARK}" # x', True),
        (
            "objective: |\n  Über\n  pwd=hunter2\nmode: advise",
            f'objective: "Über\\npwd={MARK}\\n"\nmode: advise',
            True,
        ),
        (
            "objective: &a pwd=hunter2\nstatic: {x: *a}",
            f'objective: &a "pwd={MARK}"\nstatic: {{x: *a}}',
            True,
        ),
        (
            "{model: {url: 'http://me:hunter2@host'}}",
            f'{{model: {{url: "http://me:{MARK}@host"}}}}',
            True,
        ),
        (
            "record:\n  secrets: [hunter2, corp-\\d]",
            f'record:\n  secrets: ["{MARK}", corp-\\d]',
            False,
        ),
        (
            "# password:\n# pwd=hunter2 #\nmode: advise # token: hunter2",
            f"# password:\n# pwd={MARK} #\nmode: advise # token: {MARK}",
            False,
        ),
        ("no: [yaml password=hunter2", f"no: [yaml password={MARK}", True),
        ("", "", False),
    ],
)
def test_secrets_in_a_policys_free_text_go(text, wanted, is_altered):
    clean = redact_policy.policy(text, redactor(["hunter2"]))
    assert clean == (wanted, is_altered)
    assert redact_policy.policy(wanted, redactor(["hunter2"]))[0] == wanted


@given(st.text("ab:#&*!|>-[]{}'\"\\\n, =", max_size=60))
def test_whatever_a_policy_looks_like_it_stays_yaml(text):
    text = f"objective: {text}\n"
    clean, _ = redact_policy.policy(text, redactor(["[ab]=[ab]"]))
    if nodes.read(text.encode())[0] is not None:
        assert nodes.read(clean.encode())[0] is not None


def test_a_long_hostile_text_takes_no_time():
    started = time.monotonic()
    for text in (
        "a" * 20_000,
        "password" * 2_500,
        "-----BEGIN PRIVATE KEY-----" * 700,
        "x=" * 10_000,
        "https://" * 2_500,
        "mysql " * 3000,
        "eyJ" * 6000,
        "-a" * 10_000,
        "a.b-" * 5_000,
        "token " * 4_000,
        "--token-" * 3_000,
    ):
        redactor().text(text)
    assert time.monotonic() - started < 3.0
