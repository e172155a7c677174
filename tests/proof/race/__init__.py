"""The concurrency proof: many callers request one slot at the same moment, and at most one gets it."""
