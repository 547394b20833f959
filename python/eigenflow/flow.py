"""Exact gradient flow of over-parameterised sequence models: which eigenvalues grow?"""
