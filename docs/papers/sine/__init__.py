"""Ji et al. (ICLR 2025, arXiv 2403.19243) in miniature: the four uses of sine-activated weights."""
