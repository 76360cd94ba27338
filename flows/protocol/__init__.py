"""What every party may run on the linkage protocol. Zone: protocol."""
