"""What figures of several rooms draw alike: colors of maps, tiles, signals, bare axes. Drawing only."""
