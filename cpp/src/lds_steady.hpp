// SPDX-License-Identifier: BSD-3-Clause
// Fixed point of the covariance recursion, and the constant-gain filter that belongs to it.
#pragma once

#include "lds_step.hpp"

namespace eigenflow::lds {

struct steady_filter {
  bool usable = false;
  bool by_doubling = false; // no plain steps were asked for
  buffer P, filtered, S;    // predicted and filtered covariance of the state, of the innovation
  buffer K, L, F;           // gain, A K, A - L C
  buffer whiten;            // whiten S whiten' = I, lower triangular
  buffer scale;             // size of one unit of each state, for comparisons without units
  double log_det = 0;       // of S
  double radius = 1;        // spectral radius of F
  double forgetting = 0;    // bound on the sum of |F^k| in units of `scale`
  double residual = 0;
  double tolerance = 0; // of `distance`, below which a covariance counts as steady
};

// usable is false when no stabilising solution was found; at most `max_steps` plain Riccati steps
// are spent where doubling does not apply (a singular innovation covariance, or modes that the
// noise does not reach).
steady_filter solve_steady(const dense_model &system, index max_steps);

// S, whiten, log_det, K, L and F of a step whose predicted covariance is f.P; false when S is not
// positive definite. For a system without cross noise.
bool set_gain(const dense_model &system, steady_filter &f);

// Largest |P - steady P| in units of scale_i scale_j.
double distance(const steady_filter &steady, const buffer &P);

// F in units of `scale`.
buffer scaled_transition(index n, const steady_filter &f);

// C' S^-1 (n x p): what an innovation says about the state.
buffer adjoint_weights(const dense_model &system, const steady_filter &f);

// Sum of (A')^k N A^k, for a contraction A.
buffer adjoint_sum(index n, buffer A, buffer N);

} // namespace eigenflow::lds
