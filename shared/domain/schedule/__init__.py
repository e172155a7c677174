"""Schedules of resources: opening hours, the starts that they offer, and which of them are free."""
