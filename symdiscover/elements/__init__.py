"""Group elements in torch, one file a kind: scalar (angles and times), vector, matrix.

Each file defines identity, exp, compose, inverse and random, and needs torch alone. `symdiscover.to_torch` copies what stands
below its mark into the module it generates, so that a saved action carries its own group operations.
"""
