"""Group elements in torch, one file a kind of element: angle, time, vector, matrix.

Each file defines identity, exp, compose, inverse and random, and needs torch alone. `symdiscover.source` copies what
stands below its mark into the module it generates, with the names above the mark set to those of the group.
"""
