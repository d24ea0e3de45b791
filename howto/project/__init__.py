"""What the project consists of: its stacks, how-tos, records and settings. Knows nothing that has to be installed."""
