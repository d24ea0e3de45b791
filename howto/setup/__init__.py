"""Make the environment of a stack, compiling what has no wheel. Runs before anything is installed."""
