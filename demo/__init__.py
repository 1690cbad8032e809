"""What shows and measures the module on the local cloud: the demonstration, a day, the bench."""
