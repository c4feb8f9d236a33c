"""A whole local system as `make up` starts it; `make test-laptop` runs these."""
