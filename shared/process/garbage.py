"""The garbage collector of a process that serves."""

import gc

# New objects; the default is 700, which is hardly more than a request makes. Then how many collections of
# a generation come before one of the next.
COLLECT_AFTER = 50_000, 20, 50


def tune_gc() -> None:
    """Let the collector pass over what is there to stay, and look for the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
