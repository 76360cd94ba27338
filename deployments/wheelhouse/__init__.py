"""Everything that a custodian's machine without internet needs, in one folder: `make wheelhouse`."""
