"""Schedules: α, the learning rate, of each epoch."""


def learning_rate(alpha: float, schedule: str, decay: float, epoch: int, epochs: int) -> float:
    """α of an epoch (0, 1, …): "constant" α; "linear" α (1 − epoch/epochs); "exponential" α decay^epoch.

    The power is a running product, and not pow(), whose last bit depends on the machine's libm.
    """
    if schedule == "linear":
        return alpha * (1.0 - epoch / epochs)
    if schedule == "exponential":
        for _ in range(epoch):
            alpha *= decay
    return alpha
