"""The stories that `yeyak demo` plays over HTTP: one module per business, each with `play(stage)`."""
