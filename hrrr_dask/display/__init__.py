"""How results look at a prompt, in a notebook and in a terminal, and the progress of what takes long.

Uses only `errors`. A result describes itself once, as tables; the text, the HTML and the command line are made of them.
"""

__all__ = ["figures", "progress", "tables", "watching"]
