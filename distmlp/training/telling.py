"""What people should know of the sets, and of the v that a training begins with, before its first step."""

from distmlp.config.sections import Config
from distmlp.data.dataset import DataSet
from distmlp.training.reporting import Silent
from distmlp.training.starting import Start


def tell(
    report: Silent,
    config: Config,
    data: DataSet,
    validation: DataSet | None,
    start: Start | None,
    doubtful: list[str],
) -> None:
    """Says what people should know of the sets and of the start; doubtful: what the look through the training set found."""
    for words in [words for one in (data, validation) if one for words in one.notes()]:
        report.note(words)
    if data.weights and validation and not validation.weights:
        report.note(f"{validation.spec} has no weights {config.data.weights}: its rows count alike")
    for words in [*doubtful, *(start.doubts(data) if start else [])]:
        report.warn(words)
    drawn = [l for l in config.training.frozen if l > (start.layers if start else 0)]
    if drawn:
        report.note(
            f"training.frozen keeps layer {', '.join(map(str, drawn))} as drawn at random; network.start_from takes "
            "trained layers over"
        )
