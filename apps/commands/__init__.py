"""The subcommands of `kerascnn`, one file each: options, one call, output."""
