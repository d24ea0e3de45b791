"""Decide which pages to execute, and execute them in processes of their own, within limits. Knows nothing of HTML."""
