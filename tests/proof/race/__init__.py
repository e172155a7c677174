"""The concurrency proof: many callers ask for one slot at the same moment, and exactly one may win."""
