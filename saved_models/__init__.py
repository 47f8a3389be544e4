"""Networks that kerascnn trained itself; each is a folder with model.keras, a SavedModel and a card."""
