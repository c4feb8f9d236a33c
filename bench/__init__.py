"""Load tests: the whole system against a minimal program with the same hops and rows, the floor."""
