"""How Nightlink is run: the protocol file, Prefect's deployments, settings by example, the demo."""
