"""Build the site of a stack, put it in place and join it with those of the other stacks."""
