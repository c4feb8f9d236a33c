"""What happens to one message: claim, transaction, retry, outbox, timers."""
