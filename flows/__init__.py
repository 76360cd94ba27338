"""Flows read like prose: one line a stage, in the order of the data. The folder names the zone."""
