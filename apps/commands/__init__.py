"""The subcommands of `kerascnn`, a file each: what is asked for, one call, what is printed."""
