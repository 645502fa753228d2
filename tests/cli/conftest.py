"""A run to ask commands about, and configs for further ones; sources to convert, and the file that they become."""

import pytest
from converting import out, put
from example import write_config, write_set
from launching import distmlp

__all__ = ["out", "put"]


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A directory with the set, and with a run of 2 epochs by one process in `run`; not to be changed."""
    home = tmp_path_factory.mktemp("commands")
    write_set(home / "set.h5")
    done = distmlp("train", write_config(home / "config.toml"))
    assert done.status == 0, done.err
    (home / "out").write_text(done.out)
    return home


@pytest.fixture
def config(tmp_path, home):
    """config(changes): a config of the same set, for a run in this test's own directory."""
    places = {"data.train": f"{home}/set.h5:/train", "data.validation": f"{home}/set.h5:/test"}
    return lambda changes={}: write_config(tmp_path / "config.toml", {**places, **changes})
