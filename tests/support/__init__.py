"""Shared test code: reference implementations, builders of stores, jobs and messages, and paths."""
