"""Randomized SVD with an honest error, and rank selection across layers."""
