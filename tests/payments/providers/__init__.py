"""The contract that every payment provider keeps, and the servers that the adapters are tried on."""
