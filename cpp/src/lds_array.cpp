// SPDX-License-Identifier: BSD-3-Clause
#include "lds_array.hpp"

#include <cmath>

namespace eigenflow::lds {

using small::count;

buffer semidefinite_root(index n, const buffer &cov) {
  buffer lower, pivots;
  small::unit_factor(n, cov.data(), lower, pivots);
  for (index i = 0; i < n; ++i)
    for (index j = 0; j <= i; ++j)
      lower[count(i * n + j)] *= std::sqrt(pivots[count(j)]);
  return lower;
}

void lower_triangle(index n, index m, buffer &a, buffer &root) {
  for (index i = 0; i < n; ++i) {
    double *row = a.data() + i * m;
    // The reflection that sends row i, from column i on, to a multiple of the first unit vector.
    double largest = 0;
    for (index j = i; j < m; ++j)
      largest = std::max(largest, std::abs(row[j]));
    if (!(largest > 0) || !std::isfinite(largest))
      continue;
    double squares = 0;
    for (index j = i; j < m; ++j) {
      row[j] /= largest;
      squares += row[j] * row[j];
    }
    const double length = std::copysign(std::sqrt(squares), row[i]);
    row[i] += length;
    const double scale = 1 / (length * row[i]); // 2 / u'u
    for (index k = i + 1; k < n; ++k) {
      double *other = a.data() + k * m;
      const double along = scale * small::dot(m - i, row + i, other + i);
      for (index j = i; j < m; ++j)
        other[j] -= along * row[j];
    }
    row[i] = -length * largest;
    for (index j = i + 1; j < m; ++j)
      row[j] = 0;
  }
  root.resize(count(n * n));
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      root[count(i * n + j)] = j <= i ? a[count(i * m + j)] : 0.0;
}

void joseph_root(index n, const double *gain, const double *z, double noise, buffer &root,
                 buffer &stacked) {
  const index m = n + 1;
  stacked.resize(count(n * m));
  buffer seen(count(n));
  small::apply_transposed(n, n, root.data(), z, seen.data());
  const double deviation = std::sqrt(noise);
  for (index i = 0; i < n; ++i) {
    for (index j = 0; j < n; ++j)
      stacked[count(i * m + j)] = root[count(i * n + j)] - gain[i] * seen[count(j)];
    stacked[count(i * m + n)] = gain[i] * deviation;
  }
  lower_triangle(n, m, stacked, root);
}

void predict_root(index n, const double *A, const buffer &noise_root, buffer &root,
                  buffer &stacked) {
  const index m = 2 * n;
  stacked.resize(count(n * m));
  buffer moved(count(n * n));
  small::multiply(n, n, n, A, root.data(), moved.data());
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) {
      stacked[count(i * m + j)] = moved[count(i * n + j)];
      stacked[count(i * m + n + j)] = noise_root[count(i * n + j)];
    }
  lower_triangle(n, m, stacked, root);
}

void square_of_root(index n, const buffer &root, buffer &cov) {
  cov.resize(count(n * n));
  for (index i = 0; i < n; ++i)
    for (index j = 0; j <= i; ++j)
      cov[count(i * n + j)] = cov[count(j * n + i)] =
          small::dot(j + 1, root.data() + i * n, root.data() + j * n);
}

} // namespace eigenflow::lds
