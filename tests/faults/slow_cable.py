"""A cable that delays what goes through it and loses a part: `python slow_cable.py ONE OTHER SECONDS LOSS`.

ONE and OTHER are the tap devices that it makes for its ends, which exist as long as it runs; it prints
"up" once they are there.  LOSS: the share of frames, from 0 to 1.  tc netem would do this, but many
kernels come without it.
"""

import contextlib
import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def tap(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return handle


def carry(one: int, other: int, seconds: float, loss: float) -> None:
    chance, under_way = random.Random(1), deque()
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        for handle in select.select([one, other], [], [], wait)[0]:
            frame = os.read(handle, 65536)
            if chance.random() >= loss:
                under_way.append(
                    (time.monotonic() + seconds, other if handle == one else one, frame)
                )
        while under_way and under_way[0][0] <= time.monotonic():
            _, to, frame = under_way.popleft()
            with contextlib.suppress(OSError):  # an end that is not up yet
                os.write(to, frame)


if __name__ == "__main__":
    ends = [tap(name) for name in sys.argv[1:3]]
    print("up", flush=True)
    carry(*ends, float(sys.argv[3]), float(sys.argv[4]))
