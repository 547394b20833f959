// SPDX-License-Identifier: BSD-3-Clause
// One-sided products square the singular values: in single precision those far below the first one
// drown in its rounding, and a Krylov basis holds them by chance only. Steps of subspace iteration
// that orthonormalise both sides see values down to eps of the first.
#include "svd_detail.hpp"

namespace eigenflow::svd {
namespace {

constexpr double hidden = 100; // times eps: of a squared value beside the first
constexpr int steps = 2;       // from a basis that is wider than the rank: the error is then least

template <class T> bool hides_values(const target &wanted, int workers, subspace<T> &space) {
  if (sizeof(real_of<T>) != sizeof(float) || !space.kept || !wanted.by_rank() || wanted.rank == 0)
    return false;
  if (space.ritz == nullptr)
    space.ritz = std::make_unique<hermitian_spectrum<wide_of<T>>>(spectrum_of<T>(
        col_major<const wide_of<T>>(space.gram.data(), space.size, space.size), wanted));
  const std::vector<double> &squares =
      space.ritz->leading_values(wanted.values_needed(space.size), workers);
  return squares[as_size(wanted.rank - 1)] < hidden * epsilon<T>() * squares[0];
}

} // namespace

template <class T>
void polish(const linear_operator<T> &a, const target &wanted, int workers, subspace<T> &space) {
  if (!hides_values(wanted, workers, space))
    return;
  const matrix_view<T> v = space.v.view(0, space.size), y = space.y.view(0, space.size);
  columns<wide_of<T>> held(space.size, space.size);
  const matrix_view<wide_of<T>> factor = held.view(0, space.size);
  for (int step = 0; step < steps; ++step) {
    orthonormalise<T>(y, factor, workers, false, a.ranks());
    a.apply_adjoint(y, v);
    orthonormalise<T>(v, factor, workers);
    a.apply(v, y);
    space.passes += 2;
  }
  space.ritz.reset();
  space.gram.clear();
  space.next_rows = 0;
}

#define EF_INSTANTIATE(T)                                                                          \
  template void polish<T>(const linear_operator<T> &, const target &, int, subspace<T> &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
