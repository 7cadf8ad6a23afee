"""Labels from and to the files of other tools: one module per format, one table of them in :mod:`hub`."""
