"""Tests, by subject, and what they share."""
