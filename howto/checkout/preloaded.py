"""What every page needs, imported quietly; importing it takes seconds, so processes that are forked share it."""

import gc

from howto.project.quiet import quiet

with quiet():
    import matplotlib  # noqa: F401
    import mmdet.apis  # noqa: F401

gc.freeze()  # the garbage collector need not go through all the objects of torch and mmdet, three times a page
