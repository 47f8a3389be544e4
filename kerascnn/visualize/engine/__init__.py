"""The engine of all visualizations: activations by name, scores of images, gradients, and loops over images."""
