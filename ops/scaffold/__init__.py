"""Writes a new business: `yeyak new system lockers`, `yeyak new context lockers.units --view my_lockers --paid`."""
