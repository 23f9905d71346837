"""Sets how OpenMP threads wait and how much oneDNN caches; commands import it before torch.

By default an idle OpenMP thread spins. With more threads than free cores, spinning threads take the
cores away from working ones, and training takes several times as long; a passive thread sleeps.
oneDNN caches compiled matmuls by shape, which grows to gigabytes when every batch has another
shape. Variables that are already set are left alone.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
os.environ.setdefault("LRU_CACHE_CAPACITY", "128")  # torch's cache above oneDNN's
