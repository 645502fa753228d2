"""Writes a set of simulated collisions in two classes, in the form of the HIGGS set of P. Baldi, P. Sadowski and D. Whiteson.

    python datasets/higgs.py higgs.h5 --samples 200000 --test-samples 50000 --seed 1

Theirs ("Searching for exotic particles in high-energy physics with deep learning", Nature Communications 5, 4308, 2014)
is of full simulations.  This one is a small Monte Carlo of the same two chains of decays, and of a simple detector:

    signal       H0 -> W H+,  H+ -> W h,  h -> b b          masses 425, 325 and 125 GeV
    background   t t,  t -> W b                             a spectrum of masses above twice that of t

One W decays to a lepton and a neutrino, the other to two light quarks, so both classes leave a lepton, a neutrino and
four jets.  Decays are isotropic, without spins.  Masses follow Breit and Wigner, cut off.  Pairs of both classes move
alike.  The detector smears energies and angles, tags 70 % of the b jets and 5 % of the others, and misses the neutrino.
Kept are events whose lepton and jets have pT > 20 GeV and |eta| < 2.5.

    low (n, 21)   the lepton's pT, pz and phi; px and py of the missing momentum; of each jet px, py, pz, and 1 where it was
                  tagged, else 0.  GeV and radians.  Tagged jets come first, each kind by pT.  All is turned about the
                  beam by -phi, so that the lepton goes along x
    high (n, 7)   invariant masses that a physicist would make of these, in GeV: m_jj, m_lv, m_bb, m_jjj, m_jlv, m_wbb and
                  m_wwbb.  The first two jets are taken for b's; which goes with which W is as suits the chain better
    y (n,)        0 background, 1 signal; as many of each are made, and a little less of the signal is kept

/train and /test are two streams of PCG64.  Numbers are rounded to 1/1024, so that the last bits of a machine's logarithm
hardly matter.
"""

import argparse

import h5py
import numpy as np

STREAMS = {"train": 0, "test": 1}
BLOCK_ROWS = 20000
LOW = (
    *("lepton_pt", "lepton_pz", "lepton_phi", "missing_px", "missing_py"),
    *(f"jet{i}_{what}" for i in (1, 2, 3, 4) for what in ("px", "py", "pz", "b")),
)
HIGH = ("m_jj", "m_lv", "m_bb", "m_jjj", "m_jlv", "m_wbb", "m_wwbb")
TOP, W, CHARGED, HEAVY, LIGHT = 172.5, 80.4, 325.0, 425.0, 125.0

# A momentum is (n, 4): energy and the momentum along x, y and z (the beam), in GeV.


def resonance(random, n, mass, width, reach):
    """n masses: Breit and Wigner's curve, cut off at a distance."""
    most = np.arctan(2.0 * reach / width)
    return mass + 0.5 * width * np.tan(random.uniform(-most, most, n))


def mass_of(p):
    return np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0.0))


def massless(p):
    """The momentum of a particle without mass, of its last three components."""
    return np.column_stack([np.sqrt((p * p).sum(axis=1)), p])


def decay(random, parent, m1, m2):
    """The momenta of the two that a particle becomes, in a direction at random where it is at rest."""
    n, M = len(parent), mass_of(parent)
    size = np.sqrt((M**2 - (m1 + m2) ** 2) * (M**2 - (m1 - m2) ** 2)) / (2.0 * M)
    z, phi = random.uniform(-1.0, 1.0, n), random.uniform(-np.pi, np.pi, n)
    r = np.sqrt(1.0 - z * z)
    q = size[:, None] * np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)
    energy = np.sqrt(m1**2 + size**2)
    # Lorentz's transformation from where the parent is at rest.
    p, E = parent[:, 1:], parent[:, 0]
    dot = (p * q).sum(axis=1)
    moved = q + p * ((dot / (E + M) + energy) / M)[:, None]
    one = np.column_stack([(E * energy + dot) / M, moved])
    return one, parent - one


def pair(random, M):
    """The momentum of all that decays: it moves along the beam, and a little across."""
    n = len(M)
    pt, phi = random.exponential(30.0, n), random.uniform(-np.pi, np.pi, n)
    y, across = random.normal(0.0, 0.8, n), np.sqrt(M**2 + pt**2)
    return np.stack(
        [across * np.cosh(y), pt * np.cos(phi), pt * np.sin(phi), across * np.sinh(y)], axis=1
    )


def signal(random, n):
    """(all, W, W, b, b): momenta of n events."""
    w1, w2 = resonance(random, n, W, 2.1, 5.0), resonance(random, n, W, 2.1, 5.0)
    charged, light = resonance(random, n, CHARGED, 2.0, 4.0), resonance(random, n, LIGHT, 0.1, 1.0)
    whole = pair(random, resonance(random, n, HEAVY, 5.0, 10.0))
    first, rest = decay(random, whole, w1, charged)
    second, higgs = decay(random, rest, w2, light)
    return whole, first, second, *decay(random, higgs, 0.0, 0.0)


def background(random, n):
    """The same of pairs of top quarks."""
    w1, w2 = resonance(random, n, W, 2.1, 5.0), resonance(random, n, W, 2.1, 5.0)
    t1, t2 = resonance(random, n, TOP, 1.4, 10.0), resonance(random, n, TOP, 1.4, 10.0)
    whole = pair(random, t1 + t2 + random.gamma(2.0, 60.0, n))
    first, second = decay(random, whole, t1, t2)
    (first, b1), (second, b2) = decay(random, first, w1, 0.0), decay(random, second, w2, 0.0)
    return whole, first, second, b1, b2


def measured(random, p, stochastic, constant, angle):
    """The momentum of a particle as the detector has it, (n, 3): energy, eta and phi are smeared."""
    error = np.hypot(stochastic / np.sqrt(p[:, 0]), constant)
    pt, eta, phi = polar(p[:, 1:])
    pt = pt * np.maximum(1.0 + error * random.standard_normal(len(p)), 0.05)
    eta, phi = (x + angle * random.standard_normal(len(p)) for x in (eta, phi))
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def polar(p):
    """pT, eta and phi."""
    pt = np.hypot(p[..., 0], p[..., 1])
    return pt, np.arcsinh(p[..., 2] / pt), np.arctan2(p[..., 1], p[..., 0])


def events(random, n):
    """low, high and y of those of n events that are kept."""
    y = random.integers(0, 2, n)
    whole, w1, w2, *quarks = (
        np.where(y[:, None] == 1, one, other)
        for one, other in zip(signal(random, n), background(random, n), strict=True)
    )
    swapped = random.integers(0, 2, (n, 1)) == 1
    w1, w2 = np.where(swapped, w2, w1), np.where(swapped, w1, w2)
    lepton, _ = decay(random, w1, 0.0, 0.0)
    quarks += decay(random, w2, 0.0, 0.0)
    lepton = measured(random, lepton, 0.0, 0.02, 0.001)
    jets = np.stack([measured(random, quark, 1.5, 0.1, 0.05) for quark in quarks], axis=1)
    tags = random.random((n, 4)) < np.array([0.7, 0.7, 0.05, 0.05])
    seen = (lepton + jets.sum(axis=1))[:, :2]
    missing = whole[:, 1:3] - seen + random.normal(0.0, 15.0, (n, 2))
    pt, eta, _ = polar(np.concatenate([lepton[:, None], jets], axis=1))
    kept = ((pt > 20.0) & (abs(eta) < 2.5)).all(axis=1)
    # Jets with a tag first, each kind by pT; then all turn about the beam, so that the lepton goes along x.
    order = np.lexsort((-pt[:, 1:], ~tags), axis=1)
    jets = np.concatenate([jets, tags[:, :, None]], axis=2)
    jets = np.take_along_axis(jets, order[:, :, None], axis=1)
    _, _, phi = polar(lepton)
    turn(jets, phi[:, None])
    turn(missing, phi)
    lepton = np.stack([pt[:, 0], lepton[:, 2], phi], axis=1)
    low = rounded(np.column_stack([lepton, missing, jets.reshape(n, 16)])[kept])
    return low, rounded(masses(low)), y[kept]


def turn(p, phi):
    """Turns the momenta (…, x y …) by -phi about the beam."""
    x, y = p[..., 0].copy(), p[..., 1].copy()
    p[..., 0], p[..., 1] = np.cos(phi) * x + np.sin(phi) * y, np.cos(phi) * y - np.sin(phi) * x


def rounded(x):
    return np.round(x * 1024.0) / 1024.0


def neutrino(lepton, missing):
    """Its momentum, if it comes of a W with the lepton: of two solutions that with the smaller momentum along the beam."""
    E, px, py, pz = lepton.T
    across, pt2 = px**2 + py**2, (missing**2).sum(axis=1)
    half = 0.5 * W**2 + (missing * lepton[:, 1:3]).sum(axis=1)
    root = E * np.sqrt(np.maximum(half**2 - across * pt2, 0.0))
    z = (half * pz - np.where(half * pz > 0.0, root, -root)) / across
    return massless(np.column_stack([missing, z]))


def masses(low):
    """high: the first two jets are taken for the b's, the others for a W's."""
    lepton = massless(np.stack([low[:, 0], np.zeros(len(low)), low[:, 1]], axis=1))
    leptonic = lepton + neutrino(lepton, low[:, 3:5])
    b1, b2, j1, j2 = (massless(low[:, i : i + 3]) for i in (5, 9, 13, 17))
    hadronic, both = j1 + j2, b1 + b2
    # Which b is whose: as the masses of two tops, or of one charged Higgs, are met better.
    jjj, jlv = np.stack(
        [[mass_of(hadronic + p), mass_of(leptonic + q)] for p, q in ((b1, b2), (b2, b1))], 1
    )
    top = np.argmin(abs(jjj - TOP) + abs(jlv - TOP), axis=0), np.arange(len(low))
    wbb = np.stack([mass_of(w + both) for w in (hadronic, leptonic)])
    charged = np.argmin(abs(wbb - CHARGED), axis=0), np.arange(len(low))
    chosen = jjj[top], jlv[top], wbb[charged], mass_of(hadronic + leptonic + both)
    return np.stack([mass_of(hadronic), mass_of(leptonic), mass_of(both), *chosen], axis=1)


def blocks(seed, group, count):
    """low, high and y of count events of "train" or "test", in parts."""
    random = np.random.default_rng([seed, STREAMS[group]])
    while count > 0:
        part = [column[:count] for column in events(random, BLOCK_ROWS)]
        yield part
        count -= len(part[0])


def main(arguments=None):
    """Writes the file that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", metavar="OUT.h5", help="the file to write")
    for option, default in (("samples", 200000), ("test-samples", 50000), ("seed", 1)):
        parser.add_argument(f"--{option}", metavar="N", type=int, default=default)
    args = parser.parse_args(arguments)
    if min(args.samples, args.test_samples) < 1:
        parser.error("expected at least 1 event in each group")
    with h5py.File(args.out, "w") as file:
        for group, count in (("train", args.samples), ("test", args.test_samples)):
            low, high, y = map(np.concatenate, zip(*blocks(args.seed, group, count), strict=True))
            for name, x, columns in (("low", low, LOW), ("high", high, HIGH)):
                file[f"{group}/{name}"] = x.astype(np.float32)
                file[f"{group}/{name}"].attrs["columns"] = columns
            file[f"{group}/y"] = y.astype(np.uint8)
            file[f"{group}/y"].attrs["classes"] = ["background", "signal"]
            print(f"{args.out}: {count} events in /{group}, {np.mean(y):.1%} of them signal")


if __name__ == "__main__":
    main()
