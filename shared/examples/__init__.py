"""Programs to begin with. They use `slotkeeper` as anybody would who has installed it."""
