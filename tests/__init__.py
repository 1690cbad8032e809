"""Tests, and the AWS that they run against."""
