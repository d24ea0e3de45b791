"""What a gallery script shows: tables, diagrams, pictures side by side. Knows nothing of Sphinx."""
