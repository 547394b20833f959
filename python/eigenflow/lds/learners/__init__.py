"""Learners of x' = A x from restricted classes of matrices, with their numbers of parameters.

A learner of this kind predicts the next state from the last one. Its risk in the population is
exact (`risk`); `fit` finds the least-squares member of the class from data. The number of
parameters counts what is stored, the dimension what can move: two factors of a matrix of rank r
have 2 n r entries and r (2 n - r) dimensions. The paper's lower bounds speak of the dimension.
"""

from eigenflow.lds.learners.base import FittedTransition, FixedTransition, StateLearner
from eigenflow.lds.learners.classes import LinearSpan, ReducedRank, RepeatedEigenvalue
from eigenflow.lds.learners.patterns import FirstColumns, SparsePattern, TopLeftBlock, full_matrix

__all__ = [
    "FirstColumns",
    "FittedTransition",
    "FixedTransition",
    "LinearSpan",
    "ReducedRank",
    "RepeatedEigenvalue",
    "SparsePattern",
    "StateLearner",
    "TopLeftBlock",
    "full_matrix",
]
