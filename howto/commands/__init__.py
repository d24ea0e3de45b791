"""What stands on all of it: mutations, scaffolding, serving. Nothing imports from here but the command line."""
