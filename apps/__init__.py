"""The `kerascnn` command, one file per subcommand. Importing it loads neither Keras nor numpy."""
