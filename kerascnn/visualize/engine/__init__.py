"""One engine asks networks questions: activations by name, scores of images, signals on their way back."""
