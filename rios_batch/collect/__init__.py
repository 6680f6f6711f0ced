"""Takes the tiles' results in, and makes the output files of them."""
