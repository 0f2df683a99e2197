"""Runs that start by themselves: messages of an SQS queue name new files of the archive, which are read into a store.

Uses `job` to read, and botocore for the queue. Promises that a message is deleted only after the values of its files
are committed, so that a kill at any moment loses no file.
"""

__all__ = ["watch"]
