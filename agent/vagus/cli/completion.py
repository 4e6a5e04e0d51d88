# SPDX-License-Identifier: MIT
"""`vagus completion bash|zsh|fish`: what a shell needs to complete verbs and options.

Made from the parsers themselves, so that it cannot be behind them.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vagus.cli import main

SHELLS = ("bash", "zsh", "fish")


class Words(NamedTuple):
    """What may follow a verb."""

    options: tuple[tuple[str, str], ...]  # option and its help
    choices: tuple[str, ...]  # actions, or values of an argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.epilog = (
        "bash: vagus completion bash > /etc/bash_completion.d/vagus\n"
        'zsh:  vagus completion zsh > "${fpath[1]}/_vagus"\n'
        "fish: vagus completion fish > ~/.config/fish/completions/vagus.fish"
    )
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    print(script(args.shell), end="")
    return 0


def script(shell: str) -> str:
    """Return the completion script for one shell."""
    made: dict[str, Callable[[Mapping[str, Words]], str]] = {
        "bash": _bash,
        "zsh": _zsh,
        "fish": _fish,
    }
    return made[shell](known())


def known() -> dict[str, Words]:
    """Return what may follow each verb."""
    return {verb: _words(main.parser_of(verb)) for verb in main.VERBS}


def about(action: argparse.Action) -> str:
    """Return an argument's help."""
    return (action.help or "").replace("%(default)s", str(action.default))


def _words(parser: argparse.ArgumentParser) -> Words:
    options: dict[str, str] = {}
    choices: list[str] = []
    for action in parser._actions:
        if action.option_strings:
            options |= dict.fromkeys(action.option_strings, about(action))
        elif action.choices:
            choices += map(str, action.choices)
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                options |= dict(_words(inner).options)
    return Words(tuple(options.items()), tuple(choices))


def _bash(verbs: Mapping[str, Words]) -> str:
    cases = "".join(
        f"\t{verb}) words={shlex.quote(' '.join(_all(words)))} ;;\n"
        for verb, words in verbs.items()
    )
    return (
        "# completion of vagus for bash; made by `vagus completion bash`\n"
        "_vagus() {\n"
        "\tlocal words verb=${COMP_WORDS[1]} now=${COMP_WORDS[COMP_CWORD]}\n"
        '\tif [ "$COMP_CWORD" = 1 ]; then\n'
        f'\t\tCOMPREPLY=($(compgen -W "{" ".join(verbs)}" -- "$now"))\n'
        "\t\treturn\n"
        "\tfi\n"
        "\tcase $verb in\n"
        f"{cases}"
        "\tesac\n"
        '\tCOMPREPLY=($(compgen -W "$words" -- "$now"))\n'
        "}\n"
        "complete -o default -F _vagus vagus\n"
    )


def _zsh(verbs: Mapping[str, Words]) -> str:
    names = "\n".join(
        f"\t\t{shlex.quote(f'{verb}:{main.VERBS[verb][1]}')}" for verb in verbs
    )
    cases = "".join(
        f"\t{verb}) compadd -- {' '.join(_all(words))} ;;\n"
        for verb, words in verbs.items()
    )
    return (
        "#compdef vagus\n"
        "# completion of vagus for zsh; made by `vagus completion zsh`\n"
        "local -a verbs\n"
        f"verbs=(\n{names}\n)\n"
        "if (( CURRENT == 2 )); then\n"
        "\t_describe verb verbs\n"
        "\treturn\n"
        "fi\n"
        "case $words[2] in\n"
        f"{cases}"
        "esac\n"
        "_files\n"
    )


def _fish(verbs: Mapping[str, Words]) -> str:
    lines = ["# completion of vagus for fish; made by `vagus completion fish`"]
    for verb, words in verbs.items():
        about = shlex.quote(main.VERBS[verb][1])
        lines.append(f"complete -c vagus -n __fish_use_subcommand -a {verb} -d {about}")
        here = f"complete -c vagus -n '__fish_seen_subcommand_from {verb}'"
        if words.choices:
            lines.append(f"{here} -a {shlex.quote(' '.join(words.choices))}")
        for option, help_ in words.options:
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            lines.append(f"{here} {flag} -d {shlex.quote(help_)}")
    return "\n".join(lines) + "\n"


def _all(words: Words) -> Sequence[str]:
    return (*words.choices, *(option for option, _ in words.options))
