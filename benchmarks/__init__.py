"""Benchmarks: what the package costs compared with other ways to get the same result; see README.md."""
