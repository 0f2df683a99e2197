"""What the package costs, measured against the plain way of doing the same; see README.md."""
