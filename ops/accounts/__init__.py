"""Who may do what: a user of the broker and a role of the database for each context, the gateway and the operator."""
