"""Group elements in torch, one file a kind of element: angle, time, vector, matrix, and word for flows that do not commute.

Each file defines identity, exp, compose, inverse and random, and needs torch alone. `symdiscover.source` copies what
stands below its mark into the module it generates, with the names above the mark set to those of the group.
The file flow holds no elements but the integration of flows along level sets, in parts by its marks.
"""
