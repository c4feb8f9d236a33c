"""Tables of payments, refunds and bank transfers, and of the simulated provider's ledger, a database of its own."""
