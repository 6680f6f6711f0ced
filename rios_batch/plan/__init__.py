"""From a script's words to a frozen run: everything is checked here, before any work starts."""
