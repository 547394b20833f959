"""Learning from data: the score, maximum likelihood, structural models, identification."""
