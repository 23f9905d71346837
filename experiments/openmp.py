"""How OpenMP's threads wait; imported by every command before torch, whose OpenMP reads this once, when it is loaded.

By default a thread that has nothing to do spins. Beside other work, with more threads than free
cores, the spinning threads keep the cores from those that work, and a training takes several times
as long. A passive thread sleeps. ``OMP_WAIT_POLICY`` in the environment still decides.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
