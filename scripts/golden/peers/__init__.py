"""How each peer is set up, one module each: `set_up()` instruments and returns what exports all.

A module is imported in its peer's environment alone.
"""
