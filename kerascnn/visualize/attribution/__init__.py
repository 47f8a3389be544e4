"""Which pixels speak for a score? Maps of images, and how far they can be trusted."""
