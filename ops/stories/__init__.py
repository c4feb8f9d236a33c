"""The stories that `yeyak demo` plays over HTTP: one module for each business, with `play(runner)`."""
