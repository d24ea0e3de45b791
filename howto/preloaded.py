"""What every page needs, imported quietly; importing it takes seconds, so processes that are forked share it."""

import gc
import signal

from howto.isolation import quiet
from howto.workers import settle

# Ctrl-C reaches the build as well, which says so, and this process ends with it.
interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN) if settle() else None
with quiet():
    import matplotlib  # noqa: F401
    import mmdet.apis  # noqa: F401

if interrupt:
    signal.signal(signal.SIGINT, interrupt)
gc.freeze()  # the garbage collector need not go through all the objects of torch and mmdet, three times a page
