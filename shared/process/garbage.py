"""Tune the garbage collector of a serving process."""

import gc

# The first number is how many new objects start a collection; the default, 700, is little more than one
# request makes. The others are how many collections of a generation precede one of the next.
COLLECT_AFTER = 50_000, 20, 50


def tune_gc() -> None:
    """Exempt the objects that exist now from collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
