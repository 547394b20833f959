// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

// Where the values of one tile go: entry (time i, coordinate j) at [i * stride + j]. Null is not
// wanted.
struct flow_fields {
  double *theta = nullptr;
  double *residual = nullptr;
  double *beta = nullptr;
  double *eigenvalue = nullptr;
  double *d_z = nullptr; // derivatives of theta
  double *d_lambda = nullptr;
  double *d_b0 = nullptr;
  double *d_t = nullptr;
  std::int64_t stride = 0;
};

struct flow_tile {
  const double *z;
  const double *lambda;
  const double *b0; // null at depth 0
  std::int64_t n;
};

// Times in rising order; row[i] is where the results of time i go.
struct flow_times {
  const double *t;
  const std::int64_t *row;
  std::int64_t n;
};

struct flow_kernels {
  // One time, all coordinates of a tile.
  void (*closed_theta)(const flow_tile &tile, double t, double *theta);
  // All times; entry (row, coordinate) of theta at [row * stride + coordinate]. True if all
  // coordinates are plain, which finite numbers of common size are; else theta is half written. The
  // fast one, and for valid inputs their check as well.
  bool (*closed_plain)(const flow_tile &tile, const flow_times &times, double *theta,
                       std::int64_t stride);
  void (*closed_fields)(const flow_tile &tile, double t, double *theta, double *residual,
                        double *d_z);
  void (*closed_derivatives)(const flow_tile &tile, double t, const double *theta, double *d_lambda,
                             double *d_t);
  void (*closed_eigenvalue)(const double *theta, const double *lambda, std::int64_t n, double *out);
  void (*vanilla)(const flow_tile &tile, double t, double *theta);
  // 1 <= depth <= 8; b^2 = b0^2 + b_rate beta^2.
  void (*march)(int depth, double b_rate, const flow_tile &tile, const flow_times &times,
                const flow_fields &out);
  // Learned eigenvalues of the states whose product is tile.z.
  void (*march_eigenvalue)(int depth, double b_rate, const flow_tile &tile, double *out);
  // n_steps of gradient descent from the state in a, b, beta, which is replaced. 0 <= depth <= 8.
  void (*descend)(int depth, double b_rate, const double *z, std::int64_t n, double step,
                  std::int64_t n_steps, double *a, double *b, double *beta);
  // Sum of residual^2 + variance (2 d_z - 1), in 8 lanes and a fixed tree.
  double (*sure_sum)(const double *residual, const double *d_z, const double *variance,
                     std::int64_t n);
  bool (*all_finite)(const double *x, std::int64_t n);
  bool (*none_negative)(const double *x, std::int64_t n); // NaN is not
  void (*widen)(const float *in, std::int64_t n, double *out);
  void (*narrow)(const double *in, std::int64_t n, float *out);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(flow)
