"""Experiments: a file says which searches to make, one command makes them all and compares them."""
