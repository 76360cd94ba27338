"""A whole night with one command, on real parts. It alone may see everything: it plays all the parties."""
