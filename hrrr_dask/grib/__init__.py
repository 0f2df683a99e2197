"""What a GRIB2 message says about itself: its sections, its packing, and whether it is the message that was wanted.

Pure functions of bytes; nothing is decoded here. Uses `catalog` and `grid`. Bytes that contradict themselves raise
an error of the archive, never any other exception.
"""

__all__ = ["identity", "packing", "sections"]
