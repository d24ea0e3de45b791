"""What a worker begins with; the process that workers are forked from imports it, so that they share it."""

import signal

from howto.execution.workers import settle

# Ctrl-C reaches the build as well, which says so, and this process ends with it.
interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN) if settle() else None
import howto.checkout.preloaded  # noqa: E402, F401

if interrupt:
    signal.signal(signal.SIGINT, interrupt)
