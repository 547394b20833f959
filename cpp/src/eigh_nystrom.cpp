// SPDX-License-Identifier: BSD-3-Clause
// The approximation is that of A + shift I, less the shift: below the rounding of z the inverse
// would amplify nothing but noise (Tropp, Yurtsever, Udell and Cevher 2017). At the Ritz pairs the
// inverse is a scaling of columns, and the eigenvalues are squares of singular values.
#include "eigh_nystrom.hpp"
#include "svd_detail.hpp"

namespace eigenflow::eigh {
namespace {

// z = (z + shift q) / sqrt(value), at unit length; returns the length.
template <class T>
double shifted_column(vector_view<T> q, vector_view<T> z, double shift, double value) {
  for (index i = 0; i < z.size; ++i)
    z[i] += static_cast<real_of<T>>(shift) * q[i];
  const double length = std::sqrt(svd::squared_norm(z));
  if (!(length > 0) || !(value > 0))
    return 0;
  for (index i = 0; i < z.size; ++i)
    z[i] *= static_cast<real_of<T>>(1 / length);
  return length / std::sqrt(value);
}

} // namespace

template <class T>
void to_nystrom(matrix_view<T> q, matrix_view<T> z, std::vector<double> &values, int workers) {
  using W = wide_of<T>;
  const index count = z.cols;
  double energy = 0;
  for (index j = 0; j < count; ++j)
    energy += svd::squared_norm(z.col(j));
  const double rounding = std::sqrt(static_cast<double>(z.rows) * energy) * svd::epsilon<T>();
  const double shift = std::max(rounding, -2 * *std::min_element(values.begin(), values.end()));
  std::vector<double> lengths(svd::as_size(count));
  for (index j = 0; j < count; ++j) {
    const std::size_t at = svd::as_size(j);
    lengths[at] = shifted_column<T>(q.col(j), z.col(j), shift, values[at] + shift);
  }
  svd::columns<W> held(count, count);
  const matrix_view<W> r = held.view(0, count);
  svd::orthonormalise<T>(z, r, workers);
  for (index j = 0; j < count; ++j)
    for (index i = 0; i < count; ++i)
      r(i, j) *= lengths[svd::as_size(j)];
  const svd::small_svd<W> small = svd::decompose_small(r);
  svd::turn_columns<T>(z, col_major(small.u.data(), count, count), workers);
  svd::copy(z, q);
  for (std::size_t j = 0; j < values.size(); ++j)
    values[j] = std::max(0.0, small.s[j] * small.s[j] - shift);
}

#define EF_INSTANTIATE(T)                                                                          \
  template void to_nystrom<T>(matrix_view<T>, matrix_view<T>, std::vector<double> &, int);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::eigh
