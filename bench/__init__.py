"""Load runs: an open yeyak against the barest program that makes the same hops and rows."""
