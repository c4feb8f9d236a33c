"""What every context shares: messages in and out, one-transaction steps, asks, timers, retries."""
