"""The zoo: cards of all networks, the layers they consist of, and how they are built."""
