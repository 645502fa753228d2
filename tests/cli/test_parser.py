"""The command line as it is parsed: every command has a handler, and faults are said in a sentence."""

import subprocess

import pytest

from distmlp.cli import completion, parser
from distmlp.cli.handlers import HANDLERS
from distmlp.errors import InputError

COMMANDS = {
    "train": ["c.toml"],
    "find-rate": ["config.toml", "--steps", "50"],
    "many": ["c.toml", "--seeds", "2"],
    "evaluate": ["run"],
    "predict": ["run", "--data", "a.h5:/x", "--output", "o.h5"],
    "inspect": ["run"],
    "verify": ["run"],
    "export": ["run", "net.npz"],
    "compare": ["run"],
    "plot": ["a", "b", "--format", "svg"],
    "report": ["a"],
    "watch": ["runs/mine", "--once"],
    "submit": ["c.toml", "--ntasks", "2", "--time", "1:00:00"],
    "status": ["c.toml"],
    "convert": ["a.csv", "o.h5"],
    "data": ["a.h5", "--json"],
    "init": ["a.h5:/train"],
    "completion": [],
}


def parse(*words):
    return parser.make().parse_args(words)


@pytest.mark.parametrize("command", HANDLERS)
def test_every_command_is_parsed_for_its_handler(command):
    assert parse(command, *COMMANDS[command]).command == command


def test_a_config_may_be_changed_more_than_once():
    args = parse("train", "c.toml", "--set", "seed=2", "--set", "run.keep=1")
    assert args.config_file == "c.toml"
    assert args.overrides == ["seed=2", "run.keep=1"]
    assert parse("train", "c.toml").overrides == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["COMMAND"]),
        (["trian"], ["trian", "train"]),
        (["train"], ["CONFIG.toml", "distmlp train --help tells how"]),
        (["train", "c.toml", "--resum"], ["--resum"]),
        (["train", "c.toml", ""], ["unrecognized arguments"]),
        (["train", "c.toml", "--epochs", "5"], ["--epochs 5", "--set training.epochs=VALUE"]),
        (["train", "c.toml", "--batch-size=5"], ["--set training.batch_size=VALUE"]),
        (["train", "c.toml", "--lr", "1"], ["--set optimizer.learning_rate=VALUE"]),
        (["train", "c.toml", "--data.scale", "1"], ["--set data.scale=VALUE"]),
        (["predict", "run", "--data", "a.h5:/x"], ["--output"]),
        (["submit", "c.toml", "--time", "1", "--ntasks", "0"], ["0, but expected", "at least 1"]),
        (["convert", "a.csv", "o.h5", "--append", "--overwrite"], ["--append", "not allowed"]),
        (["convert", "a.csv", "o.h5", "--dtype", "int8"], ["int8", "uint8"]),
    ],
)
def test_faults(words, parts):
    with pytest.raises(InputError) as caught:
        parse(*words)
    assert "\n" not in str(caught.value)
    for part in [*parts, "--help tells how"]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "words, offered",
    [
        (["distmlp", "tra"], {"train"}),
        (["distmlp", "export", "--over"], {"--overwrite"}),
        (
            ["distmlp", "train", "c.toml", "--set", "optimizer.learning"],
            {"optimizer.learning_rate="},
        ),
        (["distmlp", "evaluate", "runs/"], set()),  # files, by bash itself
        (["distmlp", "train", "--res"], {"--resume"}),
    ],
)
def test_bash_completes(words, offered):
    script = completion.script(parse("completion").commands)
    asked = " ".join(f"'{word}'" for word in words)
    ask = f"COMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _distmlp; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, check=True)
    assert (set(done.stdout.split()), done.stderr) == (offered, "")
