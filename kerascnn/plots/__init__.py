"""Drawing shared by all figures: color scales of maps, grids of tiles, signals, axes without ticks."""
