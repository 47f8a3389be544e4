"""The `kerascnn` command: a file a subcommand. Importing any of them imports neither Keras nor numpy."""
