"""Tasks: one act of I/O and one call into the core each. The folder names the zone."""
