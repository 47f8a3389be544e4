"""The networks: their cards, the layers they are made of, and how a name becomes a model."""
