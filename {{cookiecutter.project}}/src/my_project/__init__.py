"""My project: models, data and the commands that join them."""
