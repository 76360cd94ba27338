"""The custodian's tasks: they see identifiers and the linkage key. Zone: custodian."""
