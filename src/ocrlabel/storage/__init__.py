"""Object stores: one contract, in a folder, in memory and in a bucket."""
