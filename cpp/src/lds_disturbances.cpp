// SPDX-License-Identifier: BSD-3-Clause
#include "lds_disturbances.hpp"

#include <algorithm>

namespace eigenflow::lds {

void noise_split::read(const observed_rows &rows) {
  if (seen_ == rows.revision())
    return;
  seen_ = rows.revision();
  const index n = system_.n, p = system_.p, m = rows.n_rows;
  const buffer &lower = rows.lower();
  spread.assign(count(p * m), 0.0);
  rest.assign(count(p * p), 0.0);
  rest_with_e.assign(count(p * n), 0.0);
  std::vector<char> observed(count(p), 0);
  for (index i = 0; i < m; ++i) {
    const index row = rows.observed()[count(i)];
    observed[count(row)] = 1;
    std::copy_n(lower.data() + i * m, i + 1, spread.data() + row * m);
  }
  buffer turned(count(p * m), 0.0); // Cov(v, u) of what is missing
  for (index j = 0; j < p; ++j) {
    double *row = turned.data() + j * m;
    for (index k = 0; k < m && observed[count(j)] == 0; ++k) {
      row[k] = system_.R[count(j * p + rows.observed()[count(k)])] -
               small::dot(k, lower.data() + k * m, row);
      if (rows.noise[count(k)] > 0)
        spread[count(j * m + k)] = row[k] / rows.noise[count(k)];
    }
  }
  for (index j = 0; j < p; ++j) {
    if (observed[count(j)] != 0)
      continue;
    for (index k = 0; k < p; ++k)
      if (observed[count(k)] == 0)
        rest[count(j * p + k)] = system_.R[count(j * p + k)] -
                                 small::dot(m, spread.data() + j * m, turned.data() + k * m);
    for (index i = 0; i < n && !system_.S.empty(); ++i) {
      double value = system_.S[count(i * p + j)];
      if (rows.correlated())
        value -= small::dot(m, turned.data() + j * m, rows.carried().data() + i * m);
      rest_with_e[count(j * n + i)] = value;
    }
  }
}

// x' - E x' = F (x - E x) + w - L v and innovation = C (x - E x) + v, so that the weights are the
// covariances of the noises with both.
steady_noises::steady_noises(const dense_model &s, const steady_filter &steady)
    : weights_v(count((s.n + s.p) * s.p)), weights_r(count((s.n + s.p) * s.n)) {
  const index n = s.n, p = s.p;
  buffer noise(count((n + p) * p)), precision(count(p * p)); // Cov([w; v], v)
  for (index i = 0; i < n && !s.S.empty(); ++i)
    std::copy_n(s.S.data() + i * p, p, noise.data() + i * p);
  std::copy_n(s.R.data(), p * p, noise.data() + n * p);
  small::multiply_left_transposed(p, p, p, steady.whiten.data(), steady.whiten.data(),
                                  precision.data());
  small::multiply(n + p, p, p, noise.data(), precision.data(), weights_v.data());
  small::multiply_right_transposed(n + p, p, n, noise.data(), steady.L.data(), weights_r.data());
  for (double &x : weights_r)
    x = -x;
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      weights_r[count(i * n + j)] += s.Q[count(i * n + j)];
  for (index k = 0; k < p && !s.S.empty(); ++k)
    for (index j = 0; j < n; ++j)
      weights_r[count((n + k) * n + j)] += s.S[count(j * p + k)];
}

} // namespace eigenflow::lds
