"""Small programs that build, check and describe the project."""
