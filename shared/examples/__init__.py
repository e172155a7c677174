"""Complete programs that use the installed package `slotkeeper`."""
