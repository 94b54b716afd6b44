"""`tutelage completion`: scripts that complete verbs, flags and names in bash, zsh and fish.

A script holds all names itself, so that a press of Tab starts no Python.
"""

import shlex
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, get_args

from cyclopts import App, Parameter

from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import flags_of
from tutelage.cli.parser import app
from tutelage.cli.verbs import GROUPS, VERBS
from tutelage.config.job import DistillConfig
from tutelage.config.listing import list_settings
from tutelage.config.methods import MethodName
from tutelage.config.objective import settings_classes
from tutelage.config.recipes import method_names, objective_names, recipe_names

_INSTALL = {
    "bash": "tutelage completion bash > ~/.local/share/bash-completion/completions/tutelage",
    "zsh": "tutelage completion zsh > ~/.zfunc/_tutelage  # with fpath+=~/.zfunc before compinit",
    "fish": "tutelage completion fish > ~/.config/fish/completions/tutelage.fish",
}


class Names(NamedTuple):
    """What can be completed."""

    flags: Mapping[str, list[str]]
    """The flags of each verb that its help page lists."""

    dotted: Mapping[str, list[str]]
    """Its flags with a dot, offered once a dot is typed."""

    after: Mapping[str, list[str]]
    """What may follow a verb or a flag; files where nothing is given."""


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        Parameter(help="Its first lines tell where the script belongs"),
    ],
    /,
) -> str:
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](names())
    return "#compdef tutelage\n" * (shell == "zsh") + f"# {_INSTALL[shell]}\n" + script


def names() -> Names:
    """Everything that can be completed, by verb."""
    flags: dict[str, list[str]] = {}
    dotted: dict[str, list[str]] = {}
    after = _catalogue()
    for verb in VERBS:
        if verb in PAGES:
            lines = [line.name for group in PAGES[verb].groups.values() for line in group]
            flags[verb] = [name for name in lines if name.startswith("--")]
            known = flags_of(verb)
            dotted[verb] = [name for name in known.dotted if "." in name]
            after |= {name: [*one.choices] for name, one in known.dotted.items() if one.choices}
        elif verb in GROUPS:
            after[verb] = [name for name in app[verb] if not name.startswith("-")]
            flags[verb] = list(dict.fromkeys(f for n in after[verb] for f in _own(app[verb][n])))
        else:
            flags[verb] = _own(app[verb])
    return Names(flags, dotted, after)


def _own(verb: App) -> list[str]:
    """The flags of a verb that takes no settings."""
    keywords = [one for one in verb.assemble_argument_collection() if one.index is None]
    return [one.name for one in keywords if one.name.startswith("--")]


def _catalogue() -> dict[str, list[str]]:
    losses = [name.replace("_", "-") for name in settings_classes()]
    laid_over = [*objective_names(), *method_names()]
    groups = {one.group.replace("_", "-") for one in list_settings(DistillConfig).values()}
    tables = sorted({"losses", "methods", *groups} - {""})
    every = [*recipe_names(), *laid_over]
    return {
        "--recipe": every, "show": every, "--compare": laid_over, "--loss": losses, "losses": losses,
        "methods": [*get_args(MethodName)], "settings": tables, "completion": [*_INSTALL],
    }  # fmt: skip


def _by_value(lists: Mapping[str, list[str]]) -> list[tuple[list[str], list[str]]]:
    """Keys that share a list, and the list; empty ones are left out."""
    found: dict[tuple[str, ...], list[str]] = {}
    for key, values in lists.items():
        found.setdefault(tuple(values), []).append(key)
    return [(keys, list(values)) for values, keys in found.items() if values]


def _bash(found: Names) -> str:
    def cases(lists: Mapping[str, list[str]]) -> str:
        rows = [
            f"{'|'.join(keys)}) names='{' '.join(values)}';;" for keys, values in _by_value(lists)
        ]
        return "\n            ".join(rows)

    return f"""_tutelage() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} names=''
    if ((COMP_CWORD == 1)); then
        names='{" ".join(VERBS)}'
    else
        case $before in
            {cases(found.after)}
        esac
    fi
    if [[ -z $names && $word == -*.* ]]; then
        case ${{COMP_WORDS[1]}} in
            {cases(found.dotted)}
        esac
    elif [[ -z $names && $word == -* ]]; then
        case ${{COMP_WORDS[1]}} in
            {cases(found.flags)}
        esac
    fi
    COMPREPLY=($(compgen -W "$names" -- "$word"))
}}
complete -o bashdefault -o default -F _tutelage tutelage"""


def _zsh(found: Names) -> str:
    def cases(lists: Mapping[str, list[str]]) -> str:
        rows = [
            f"({'|'.join(keys)}) names=({' '.join(values)});;" for keys, values in _by_value(lists)
        ]
        return "\n            ".join(rows)

    verbs = " ".join(shlex.quote(f"{name}:{verb.text}") for name, verb in VERBS.items())
    return f"""_tutelage() {{
    local word=$words[CURRENT] before=$words[CURRENT-1]
    local -a names=()
    if ((CURRENT == 2)); then
        names=({verbs})
        _describe verb names
        return
    fi
    case $before in
            {cases(found.after)}
    esac
    if ((!$#names)) && [[ $word == -*.* ]]; then
        case $words[2] in
            {cases(found.dotted)}
        esac
    elif ((!$#names)) && [[ $word == -* ]]; then
        case $words[2] in
            {cases(found.flags)}
        esac
    fi
    if (($#names)); then compadd -a names; else _files; fi
}}
if [[ $funcstack[1] == _tutelage ]]; then _tutelage "$@"; else compdef _tutelage tutelage; fi"""


def _fish(found: Names) -> str:
    def lines(condition: str, lists: Mapping[str, list[str]], more: str = "") -> list[str]:
        return [
            f"complete -c tutelage -n '{condition.format(' '.join(keys))}' {more}-a '{' '.join(values)}'"
            for keys, values in _by_value(lists)
        ]

    verbs = [
        f"complete -c tutelage -n __tutelage_first -f -a {name} -d {shlex.quote(verb.text)}"
        for name, verb in VERBS.items()
    ]
    return "\n".join(
        [
            "function __tutelage_first; test (count (commandline -opc)) -eq 1; end",
            "function __tutelage_verb; contains -- (commandline -opc)[2] $argv; end",
            "function __tutelage_after; contains -- (commandline -opc)[-1] $argv; end",
            "function __tutelage_flag; string match -q -- '-*' (commandline -ct); end",
            "function __tutelage_dot; string match -q -- '-*.*' (commandline -ct); end",
            *verbs,
            *lines("__tutelage_after {}", found.after, "-f "),
            *lines("__tutelage_flag; and __tutelage_verb {}; and not __tutelage_dot", found.flags),
            *lines("__tutelage_dot; and __tutelage_verb {}", found.dotted),
        ]
    )
