"""One tile: its blocks are read, given to the user function, checked and encoded."""
