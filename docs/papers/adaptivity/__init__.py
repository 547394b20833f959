"""Li and Lin (NeurIPS 2024, arXiv 2409.00894) with exact flow instead of Euler loops."""
