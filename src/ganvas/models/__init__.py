"""One file, one paper: the games. Nothing here imports another file of this room."""
