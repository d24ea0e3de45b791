"""What a worker begins with; the process that workers are forked from imports it, so that they share it."""

from howto.execution.workers import settle

settle()  # before what takes long
import howto.checkout.preloaded  # noqa: E402, F401
