"""The linkage unit's tasks: they see encodings only. Zone: linkage_unit."""
