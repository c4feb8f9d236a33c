"""Load runs: an open town against the barest program that makes the same hops and rows."""
