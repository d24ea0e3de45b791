"""Give the how-to snippets a world to run in: an MMDetection checkout, data, weights, a device and a record."""


def __getattr__(name: str):
    """Import the public names on first use: `python -m howto install` runs before anything is installed."""
    if name == "Workspace":
        from howto.checkout.workspace import Workspace

        return Workspace
    raise AttributeError(f"module 'howto' has no attribute {name!r}")
