"""How OpenMP's threads wait, and how much oneDNN keeps; imported by every command before torch, which reads it once.

By default a thread that has nothing to do spins. Beside other work, with more threads than free
cores, the spinning threads keep the cores from those that work, and a training takes several times
as long. A passive thread sleeps. With ever-changing shapes oneDNN's cache of compiled matmuls grows to
gigabytes, so it is bounded. What the environment says still decides.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
for cache in (
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
    "LRU_CACHE_CAPACITY",
):  # oneDNN's, and torch's above it
    os.environ.setdefault(cache, "128")
