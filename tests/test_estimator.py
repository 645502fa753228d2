"""Holds the scikit-learn estimators to scikit-learn's own checks, and to the bits of a run on a file."""

import json
import pickle
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from example import rows, write_set
from launching import run_ranks
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import distmlp
from distmlp.errors import InputError
from distmlp.results.trained import load

#: Trainings this short, and some of scikit-learn's sets, are told to be hopeless.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(complete, but doubtful|epoch [0-9]+ has the cost)"),
    pytest.mark.filterwarnings("ignore:the inputs' root mean square"),
]

SMALL = {"hidden": (16,), "epochs": 60, "learning_rate": 0.01}


#: Weighted rows and repeated ones give equal networks to float32's rounding, and this check asks for 1e-7.
OF_FLOAT64 = "check_sample_weight_equivalence_on_dense_data"


@pytest.mark.slow
@parametrize_with_checks(
    [distmlp.MLPClassifier(**SMALL), distmlp.MLPRegressor(**SMALL)],
    expected_failed_checks=lambda _: {OF_FLOAT64: "rounded to float32"},
)
def test_scikit_learns_checks(estimator, check):
    """All others pass; the array API's are skipped where SCIPY_ARRAY_API is not set."""
    check(estimator)


@pytest.mark.parametrize("kind", [distmlp.MLPClassifier, distmlp.MLPRegressor])
def test_in_float64_weighted_rows_are_repeated_ones(kind):
    check = getattr(estimator_checks, OF_FLOAT64)
    check(kind.__name__, kind(**SMALL, dtype="float64", batch_size="all"))


def test_its_v_is_that_of_a_run_on_a_file(tmp_path):
    x, y = rows(200)
    model = distmlp.MLPClassifier(epochs=3, random_state=5, settings={"data.scale": 0.5}).fit(x, y)
    write_set(tmp_path / "set.h5", train=(x, y))
    config = {
        "seed": 5,
        "network": {
            "layers": [20, 100, 5],
            "activation": "relu",
            "output": "softmax",
            "cost": "cross-entropy",
            "initializer": "he-normal",
        },
        "data": {"train": f"{tmp_path}/set.h5:/train", "scale": 0.5},
        "training": {"batch_size": 32, "epochs": 3},
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "run": {"directory": f"{tmp_path}/run"},
    }
    result = distmlp.train(config)
    assert model.v_sha256_ == result.v_sha256
    assert [record["epoch"] for record in model.history_] == [1, 2, 3]
    assert model.history_[-1]["cost"] == result.record["cost"]
    network = load(tmp_path / "run")
    assert model.predict(x).tolist() == network.predict(x).tolist()
    np.testing.assert_allclose(model.predict_proba(x), network.predict_proba(x), rtol=1e-6)


@pytest.mark.slow
def test_text_labels_data_frames_pipelines_searches_and_pickles():
    x, _ = rows(300)
    frame = pd.DataFrame(x[:, :6], columns=list("abcdef"))
    labels = pd.Series(np.where(x[:, 0] + x[:, 1] > 0, "yes", "no"))
    pipeline = make_pipeline(StandardScaler(), distmlp.MLPClassifier(**SMALL))
    assert cross_val_score(pipeline, frame, labels, cv=3).mean() > 0.9
    grid = {"mlpclassifier__hidden": [(4,), (8,)], "mlpclassifier__learning_rate": [0.003, 0.01]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(frame, labels)
    assert search.best_score_ > 0.9
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert again.predict(frame).tolist() == search.predict(frame).tolist()
    assert set(again.predict(frame)) == {"yes", "no"}
    model = distmlp.MLPClassifier(**SMALL).fit(frame, labels)
    assert model.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("fedcba")])
    several = distmlp.MLPRegressor(**SMALL).fit(x, x[:, :2])
    assert several.predict(x).shape == (300, 2)
    assert several.score(x, x[:, :2]) > 0.9


def test_inputs_and_targets_are_scaled_where_settings_say_so():
    x, _ = rows(300)
    y = 1e4 * x[:, 0] + 1e6
    settings = {"data.scale_inputs": "standardise", "data.scale_targets": "standardise"}
    model = distmlp.MLPRegressor(**SMALL, settings=settings).fit(1e5 * x + 7e5, y)
    again = pickle.loads(pickle.dumps(model))
    assert again.score(1e5 * x + 7e5, y) > 0.95


def test_sample_weights_are_those_of_a_run_on_a_file(tmp_path):
    x, y = rows(200)
    w = np.random.default_rng(0).random(200)
    model = distmlp.MLPClassifier(epochs=3, settings={"data.class_weights": "balanced"})
    plain, model = (distmlp.MLPClassifier(epochs=3).fit(x, y), model.fit(x, y, w))
    assert model.v_sha256_ != plain.v_sha256_
    even = distmlp.MLPClassifier(epochs=3).fit(x, y, sample_weight=np.full(200, 4))
    assert even.v_sha256_ == plain.v_sha256_
    write_set(tmp_path / "set.h5", train=(x, y))
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["train/w"] = w
    config = json.loads(model.config_)
    config["data"]["train"] = f"{tmp_path}/set.h5:/train"
    config["run"]["directory"] = f"{tmp_path}/run"
    assert distmlp.train(config).v_sha256 == model.v_sha256_
    with pytest.raises(ValueError, match="row 3: its weight in w is -1"):
        distmlp.MLPRegressor().fit(x, x[:, 0], np.where(np.arange(200) == 3, -1, w))


def test_a_share_of_the_rows_ends_the_training_early():
    x, y = rows(300)
    settings = {"data.validation": 0.2, "training.patience": 2}
    model = distmlp.MLPClassifier(learning_rate=0.1, settings=settings).fit(x, y)
    assert len(model.history_) < 200 and model.history_[0]["validation_cost"] is not None


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"hidden": 16}, r"hidden is 16, but expected the neurons of each hidden layer"),
        ({"hidden": (0,)}, r"MLPClassifier: network.layers is \[20, 0, 5\], but expected a list"),
        ({"optimizer": "adamm"}, r"MLPClassifier: optimizer.name is .adamm., but expected one of"),
        ({"random_state": None}, "MLPClassifier: seed is null, but expected a whole number"),
        ({"settings": {"optimizer.beta": 0.5}}, "unknown key optimizer.beta; did you mean"),
        ({"settings": {"data.train": "a.h5:/b"}}, "settings: data.train is decided by the estim"),
        ({"settings": {"training.epochs": 3}}, "settings: training.epochs is decided by the es"),
    ],
)
def test_parameters_that_cannot_be_are_named(parameters, words):
    with pytest.raises(InputError, match=words):
        distmlp.MLPClassifier(**parameters).fit(*rows(30))


def test_a_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distmlp.estimator", None)
    monkeypatch.delattr(distmlp, "estimator", raising=False)
    with pytest.raises(ImportError, match=r"distmlp.MLPRegressor needs .*: pip install"):
        _ = distmlp.MLPRegressor
    with pytest.raises(AttributeError, match="has no attribute 'MLPCluster'"):
        _ = distmlp.MLPCluster


RANKS = """
import sys
sys.path[:0] = [{tests!r}]
import distmlp
from distmlp.parallel import launchers
from example import rows
from sklearn.model_selection import cross_val_score
x, y = rows(200)
model = distmlp.MLPClassifier(epochs=3).fit(x, y)
scores = cross_val_score(distmlp.MLPClassifier(epochs=3), x, y, cv=2)
rank = launchers.world().rank
try:
    model.fit(x[: 200 - (rank == 1)], y[: 200 - (rank == 1)])
except distmlp.InputError as error:
    refused = str(error)
else:
    refused = "nothing"
print(model.v_sha256_, *scores, len(model.history_), refused, sep="|", flush=True)
"""


def test_the_ranks_of_mpirun_train_together(openmpi):
    x, y = rows(200)
    model = distmlp.MLPClassifier(epochs=3).fit(x, y)
    scores = cross_val_score(distmlp.MLPClassifier(epochs=3), x, y, cv=2)
    tests = str(Path(__file__).parent)
    done = run_ranks(openmpi, 2, ["-c", RANKS.format(tests=tests)])
    assert done.status == 0, done.err
    expected = [model.v_sha256_, *map(str, scores), "3"]
    lines = [line.split("|") for line in done.out.splitlines() if "|" in line]
    assert [line[:4] for line in lines] == [expected] * 2
    assert all("rank 1 called fit with different data" in line[4] for line in lines)
