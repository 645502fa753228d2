"""The command `distmlp completion`: a script with which bash and zsh complete commands, options and config keys."""

import argparse
from typing import TYPE_CHECKING

from distmlp.config.reading import known_keys
from distmlp.errors import COMPLETE

if TYPE_CHECKING:
    from distmlp.parallel.communicator import Communicator

HELP = "Print what makes bash and zsh complete commands, options and keys."

EPILOG = """bash, in ~/.bashrc:
  eval "$(distmlp completion)"

zsh, in ~/.zshrc:
  autoload -U +X bashcompinit && bashcompinit && eval "$(distmlp completion)\""""

_SCRIPT = """\
_distmlp() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= options= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -* ]] || {{ command=${{COMP_WORDS[i]}}; break; }}
    done
    case $command in
        "") options="{commands} --help --version" ;;
{cases}
    esac
    COMPREPLY=()
    if [[ $before == --set ]]; then
        compopt -o nospace 2>/dev/null
        COMPREPLY=($(compgen -S = -W "{keys}" -- "$word"))
    elif [[ -z $command || $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    fi
}}
complete -o default -F _distmlp distmlp
"""


def add_arguments(parser: argparse.ArgumentParser, commands: dict) -> None:
    """Nothing is asked; commands: each command's parser by its name, read once the command runs."""
    parser.set_defaults(commands=commands)


def run(args: argparse.Namespace, comm: "Communicator") -> int:
    """Prints the script."""
    if comm.rank == 0:
        print(script(args.commands), end="")
    return COMPLETE


def script(commands: dict[str, argparse.ArgumentParser]) -> str:
    """The script for these commands' parsers."""
    cases = []
    for name, parser in commands.items():
        options = [words for action in parser._actions for words in action.option_strings]
        cases.append(f'        {name}) options="{" ".join(options)}" ;;')
    return _SCRIPT.format(
        commands=" ".join(commands), cases="\n".join(cases), keys=" ".join(known_keys())
    )
