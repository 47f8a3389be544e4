"""Images made by changing pixels until a score is high: what a class, a unit or a layer looks for."""
