"""Storage: what its errors mean, and how its migrations take their locks."""
