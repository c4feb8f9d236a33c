"""Logs, metrics, traces, health, and reports to the journal."""
