"""What is remembered: tables, and one function per statement."""
