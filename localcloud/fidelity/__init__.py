"""Whether the local cloud is to be believed: each behaviour, its test, and a mutant it catches."""
