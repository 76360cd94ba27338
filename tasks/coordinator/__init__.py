"""The coordinator's tasks: it starts the parties and holds nothing of theirs. Zone: coordinator."""
