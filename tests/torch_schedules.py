"""Where the constants of test_schedules.py come from: v after 50 steps under PyTorch's schedulers.

    python tests/torch_schedules.py            with PyTorch, which the tests themselves do without

prints v by name.  PyTorch's schedulers step once a unit, which is a step or an epoch of 7 steps here.
"""

import json

#: A start, and the function whose gradient is descended.
V = (0.9, -1.3, 0.4)
ALPHA, STEPS, STEPS_PER_EPOCH = 0.2, 50, 7


def gradient(v: float) -> float:
    """Of v²/2 + v⁴/4: no function of a library decides it."""
    return v + v * v * v


#: Name -> keys of Schedule beside these four, and how PyTorch says the same of `o`, an optimizer, for T units.
SCHEDULES = {
    "linear": (
        {"name": "linear"},
        lambda s, o, T: s.LinearLR(o, 1.0, 0.0, T),
    ),
    "exponential": (
        {"name": "exponential", "decay": 0.95},
        lambda s, o, T: s.ExponentialLR(o, 0.95),
    ),
    "step": (
        {"name": "step", "decay": 0.5, "period": 3},
        lambda s, o, T: s.StepLR(o, 3, 0.5),
    ),
    "milestones": (
        {"name": "step", "decay": 0.3, "milestones": (2, 5, 6)},
        lambda s, o, T: s.MultiStepLR(o, [2, 5, 6], 0.3),
    ),
    "polynomial": (
        {"name": "polynomial", "power": 1.7},
        lambda s, o, T: s.PolynomialLR(o, T, 1.7),
    ),
    "cosine": (
        {"name": "cosine", "least": 0.01},
        lambda s, o, T: s.CosineAnnealingLR(o, T, 0.01),
    ),
    "restarts": (
        {"name": "cosine", "least": 0.01, "period": 2, "period_growth": 2},
        lambda s, o, T: s.CosineAnnealingWarmRestarts(o, 2, 2, 0.01),
    ),
    "equal restarts": (
        {"name": "cosine", "period": 3},
        lambda s, o, T: s.CosineAnnealingWarmRestarts(o, 3),
    ),
    "one-cycle": (
        {"name": "one-cycle", "least": 0.2 / 25 / 1e4},
        lambda s, o, T: s.OneCycleLR(o, 0.2, total_steps=T, cycle_momentum=False),
    ),
}
WARMUP = 14

#: What `main` printed with PyTorch 2.13.
TORCH: dict[str, list[float]] = {
    "linear by step": [0.0024516306243773317, -0.0025231943618437137, 0.0015010086866890106],
    "linear by epoch": [0.0007616515742191871, -0.0007836736911756726, 0.0004673914561930885],
    "linear after a warm-up": [0.0027799834916085284, -0.003207566214317511, 0.0015976641149915765],
    "exponential by step": [0.0117964532722801, -0.012145919399186833, 0.00719605121756826],
    "exponential by epoch": [
        4.7057874227835835e-05,
        -4.8417623994502235e-05,
        2.8882733058155636e-05,
    ],
    "exponential after a warm-up": [
        0.004102704065646743,
        -0.004734047729796052,
        0.002357519941665465,
    ],
    "step by step": [0.16624821181473562, -0.17135714482201084, 0.10021981287769112],
    "step by epoch": [0.0003933289376427722, -0.0004046895173064316, 0.00024144355591564315],
    "step after a warm-up": [0.040956028728171175, -0.04727744805758375, 0.02351538479724255],
    "milestones by step": [0.25701269446172775, -0.26554632925948163, 0.15154272387189857],
    "milestones by epoch": [0.0059421964463773356, -0.0061138667376906515, 0.003647336408683346],
    "milestones after a warm-up": [0.06618575084946783, -0.0764554704824635, 0.03794737861944993],
    "polynomial by step": [0.010117939823567878, -0.010415432065199329, 0.006183551875381806],
    "polynomial by epoch": [0.0032212212538578117, -0.003314419654410314, 0.0019763352881058127],
    "polynomial after a warm-up": [
        0.007697994788354574,
        -0.008882655195458214,
        0.00442340980195354,
    ],
    "cosine by step": [0.001789603568382831, -0.0018413830026416651, 0.00109802223290577],
    "cosine by epoch": [0.0005293365103910908, -0.000544630488258768, 0.0003248994930477349],
    "cosine after a warm-up": [0.0022240692465632325, -0.002565969226692787, 0.0012783568300774163],
    "restarts by step": [0.00045321155895063493, -0.00046689383142771836, 0.00027553606983751923],
    "restarts by epoch": [0.0001884948216142175, -0.00019395400707092667, 0.00011561386699087993],
    "restarts after a warm-up": [
        0.0008648495092582053,
        -0.0009979816573887999,
        0.0004969214611689215,
    ],
    "equal restarts by step": [
        0.00037285806620696927,
        -0.00038414000557755273,
        0.00022653905360268877,
    ],
    "equal restarts by epoch": [
        0.00023104395428708637,
        -0.0002377304844806404,
        0.00014174240493096217,
    ],
    "equal restarts after a warm-up": [
        0.0007853455380263641,
        -0.0009062540441105133,
        0.00045122557962274133,
    ],
    "one-cycle by step": [0.002929757605795041, -0.003371853844925218, 0.0016905284408006475],
    "one-cycle by epoch": [0.002768728221502056, -0.0030817434677113437, 0.0016378274060620185],
}


def _descended(step_of_unit, schedulers) -> list[float]:
    """v after STEPS steps; schedulers(torch's module, the optimizer) steps after each unit of so many steps."""
    import torch

    v = torch.tensor(V, dtype=torch.float64)
    optimizer = torch.optim.SGD([torch.nn.Parameter(v)], lr=ALPHA)
    scheduler = schedulers(torch.optim.lr_scheduler, optimizer)
    parameter = optimizer.param_groups[0]["params"][0]
    for step in range(STEPS):
        parameter.grad = torch.tensor(
            [gradient(x) for x in parameter.tolist()], dtype=torch.float64
        )
        optimizer.step()
        if (step + 1) % step_of_unit == 0:
            scheduler.step()
    return parameter.tolist()


def main() -> None:
    epochs, found = -(-STEPS // STEPS_PER_EPOCH), {}
    for name, (_, make) in SCHEDULES.items():

        def after_a_warmup(s, o, make=make):
            rising = s.LinearLR(o, 0.04, 1.0, WARMUP)
            return s.SequentialLR(o, [rising, make(s, o, STEPS - WARMUP)], [WARMUP])

        for kind, unit, schedulers in (
            ("by step", 1, lambda s, o, make=make: make(s, o, STEPS)),
            ("by epoch", STEPS_PER_EPOCH, lambda s, o, make=make: make(s, o, epochs)),
            ("after a warm-up", 1, after_a_warmup),
        ):
            if (name, kind) != ("one-cycle", "after a warm-up"):  # there PyTorch has no such pair
                found[f"{name} {kind}"] = _descended(unit, schedulers)
    print(json.dumps(found, indent=4))


if __name__ == "__main__":
    main()
