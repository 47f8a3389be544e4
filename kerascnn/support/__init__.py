"""What every room of kerascnn uses: files, stores, progress, text, lazy packages. Knows no network."""
