"""Cases of bad input: configs, command lines, and sets that do not fit the network or the batch."""

from bad_cases import bad_set, case, numbers, write_text
from example import CLASSES, COLUMNS

# The config

case(
    "unknown key",
    ["config.toml", "unknown key training.epoch", "did you mean training.epochs?"],
    {"training.epoch": 3},
)
case("unknown key", ["unknown key network.layer", "network.layers"], {"network.layer": [20, 5]})
case("unknown key", ["unknown key sede", "did you mean seed?"], {"sede": 1})
case(
    "unknown key",
    ["unknown key network.learning_rate", "optimizer.learning_rate"],
    {"network.learning_rate": 1.0},
)
case("unknown key", ["unknown section [traning]", "[training]"], {"traning.epochs": 3})
case(
    "unknown key",
    ["learnign_rate", "optimizer.learning_rate"],
    words=["train", "config.toml", "--set", "optimizer.learnign_rate=1"],
)

case("wrong type", ["training.epochs", '"ten"', "whole number"], {"training.epochs": "ten"})
case("wrong type", ["training.epochs", "2.5", "whole number"], {"training.epochs": 2.5})
case("wrong type", ["training.epochs", "true", "whole number"], {"training.epochs": True})
case("wrong type", ["training.epochs", "0", "at least 1"], {"training.epochs": 0})
case("wrong type", ["network.layers", "64", "list"], {"network.layers": 64})
case("wrong type", ["network.layers", "[20]", "at least two"], {"network.layers": [20]})
case("wrong type", ["network.layers", "[20, 0, 5]"], {"network.layers": [20, 0, 5]})
case(
    "wrong type",
    ["network.activation", "swish", "sigmoid, tanh, relu"],
    {"network.activation": "swish"},
)
case("wrong type", ["optimizer.learning_rate", "-1", "above 0"], {"optimizer.learning_rate": -1})
case("wrong type", ["optimizer.learning_rate", "number"], {"optimizer.learning_rate": float("nan")})
case("wrong type", ["optimizer.learning_rate", "missing"], {"optimizer.learning_rate": None})
case(
    "wrong type",
    ["training.metrics", '["f2"]', "balanced_accuracy", "top_2"],
    {"training.metrics": ["f2"]},
)
case(
    "contradiction",
    ["training.metrics", "data.validation"],
    {"training.metrics": ["f1"], "data.validation": None},
)
case(
    "contradiction",
    ["training.metrics", "rmse", "numbers", "classes", "log_loss"],
    {"training.metrics": ["f1", "rmse"]},
)
for keys in ({"data.fold": 1}, {"data.folds": 3}, {"data.folds": 3, "data.fold": 4}):
    case("contradiction", ["data.fold is", "data.folds is"], {"data.validation": None, **keys})
case("contradiction", ["data.fold_by", "data.folds is 0"], {"data.fold_by": "classes"})
case(
    "contradiction",
    ["data.fold is 1", "data.validation", "one of the two"],
    {"data.folds": 3, "data.fold": 1},
)
case("contradiction", ["data.validation_by", "a share"], {"data.validation_by": "classes"})
case("wrong type", ["data.validation", "1.5", "such as 0.1"], {"data.validation": 1.5})
case("wrong type", ["data.rows", "0:2000", "1009 rows"], {"data.rows": "0:2000"})
case("wrong type", ["network.layers", "missing"], {"network.layers": None})
case("wrong type", ["dtype", "float16", "float32, float64"], {"dtype": "float16"})
case("wrong type", ["seed", "-1", "2**64"], {"seed": -1})
case("wrong type", ["data.window", "much", "256 MB"], {"data.window": "much"})
case("wrong type", ["run.checkpoint_every", "often", "N epochs"], {"run.checkpoint_every": "often"})
case("wrong type", ["run.keep", "0", "at least 1"], {"run.keep": 0})
case("wrong type", ["run.directory", '""'], {"run.directory": ""})
case("wrong type", ["data.train", '""'], {"data.train": ""})
case("wrong type", ["network", "3", "section [network]"], {"network.layers": None, "network": 3})

case(
    "contradiction",
    ["network.cost", "cross-entropy", "network.output", "tanh"],
    {"network.output": "tanh"},
)
case(
    "contradiction",
    ["optimizer.momentum", "adam", "sgd"],
    {"optimizer.name": "adam", "optimizer.momentum": 0.5},
)
case("contradiction", ["optimizer.nesterov", "momentum"], {"optimizer.nesterov": True})
case("contradiction", ["optimizer.decay", "exponential"], {"optimizer.decay": 0.5})
case("contradiction", ["softmax", "one output"], {"network.layers": [20, 1]})

# TOML's whole numbers have no end; the machine has one.
case("beyond any machine", ["optimizer.learning_rate"], {"optimizer.learning_rate": 10**400})
case("beyond any machine", ["network.layers"], {"network.layers": [COLUMNS, 10**13, CLASSES]})
case("beyond any machine", ["network.layers"], {"network.layers": [COLUMNS, 10**30, CLASSES]})
case("beyond any machine", ["data.chunk_rows"], {"data.chunk_rows": 10**20})
case("beyond any machine", ["data.window"], {"data.window": "1e300 GB"})

case(
    "not a config",
    ["config.toml", "not valid TOML", "line 2"],
    files={"config.toml": write_text("layers = [64,\nepochs == 3")},
)
case(
    "not a config",
    ["config.toml", "cannot be read"],
    files={"config.toml": lambda path: path.write_bytes(b"seed = \xff\xfe")},
)

# The data against the network and the batch

case(
    "layers against the data",
    ["set.h5:/train", "20 inputs", "network.layers begins with 64"],
    {"network.layers": [64, 5]},
)
bad_set(
    "layers against the data",
    ["5 numbers", "network.layers ends with 3"],
    y=numbers(),
    changes={"network.layers": [COLUMNS, 3]},
)
bad_set(
    "layers against the data",
    ["data.validation", "19 inputs", "20"],
    x=lambda x: x[:, :19],
    group="test",
)
bad_set("layers against the data", ["set.h5", "classes", "numbers"], y=numbers(), group="test")

case(
    "batch larger than the set",
    ["training.batch_size", "1010", "1009 samples"],
    {"training.batch_size": 1010},
)
case(
    "micro-batch larger than the batch",
    ["training.micro_batch_size", "51", "50"],
    {"training.micro_batch_size": 51},
)
case(
    "micro-batch larger than the batch",
    ["training.micro_batch_size", "1010", "1009"],
    {"training.micro_batch_size": 1010, "training.batch_size": "all"},
)


# The command line and the places that it names

case("command line", ["--epochs", "--help"], words=["train", "config.toml", "--epochs", "3"])
case("command line", ["CONFIG.toml", "train --help"], words=["train"])
case("command line", ["no.toml", "no such config"], words=["train", "no.toml"])
case("command line", ["."], words=["train", "."])
case("command line", ["COMMAND", "--help"], words=[])
case("command line", ["tarin"], words=["tarin", "config.toml"])
case(
    "command line",
    ["--set training.epochs", "section.key=value"],
    words=["train", "config.toml", "--set", "training.epochs"],
)
case(
    "command line",
    ["--progress", "sometimes"],
    words=["train", "config.toml", "--progress", "sometimes"],
)
case(
    "command line",
    ["--data", "predict --help"],
    words=["predict", "config.toml", "--output", "out.h5"],
)
case(
    "missing checkpoint",
    ["no-run", "no such checkpoint", "auto, never or"],
    words=["train", "config.toml", "--resume", "no-run"],
)
case("missing checkpoint", ["no-run", "no such checkpoint"], words=["evaluate", "no-run"])
case(
    "missing checkpoint",
    ["no-run", "no such checkpoint"],
    words=["predict", "no-run", "--data", "set.h5:/test", "--output", "out.h5"],
)
case("missing checkpoint", ["no-run", "no such checkpoint"], words=["inspect", "no-run"])
case("missing checkpoint", ["no-run", "no such directory"], words=["verify", "no-run"])
case("missing checkpoint", ["no checkpoint"], words=["inspect", "."])
case("missing checkpoint", ["set.h5", "not a checkpoint"], words=["evaluate", "set.h5"])
case("convert", ["no.npy"], words=["convert", "no.npy", "out.h5"])

case(
    "run directory below a file",
    ["run.directory", "set.h5/run", "cannot be written"],
    {"run.directory": "set.h5/run"},
)
case(
    "run directory below a file",
    ["run.directory", "set.h5", "cannot be written"],
    {"run.directory": "set.h5"},
)
