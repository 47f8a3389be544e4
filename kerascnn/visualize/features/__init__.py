"""What filters and units are like: kernels as pictures, maps of activations, a classifier slid over a photo."""
