// SPDX-License-Identifier: BSD-3-Clause
#include "tridiagonal_reduction.hpp"

#include <eigenflow/call_log.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::svd {
namespace {

constexpr index block_width = 32;
constexpr index most_together = 32, least_together = 8; // columns that a worker turns at once

// An even number of groups, so that two workers have the same to do.
index group_width(index cols) {
  const index pairs = std::max<index>(1, (cols + 2 * most_together - 1) / (2 * most_together));
  return std::max(least_together, (cols + 2 * pairs - 1) / (2 * pairs));
}

// T of H_k ... H_1 from g = V^H V, row after row: H_i goes in front of those before it.
template <class S> void triangular_factor(matrix_view<const S> g, const S *tau, matrix_view<S> t) {
  for (index i = 0; i < t.rows; ++i) {
    for (index j = 0; j < i; ++j) {
      S sum = 0;
      for (index l = j; l < i; ++l)
        sum += conjugate(g(l, i)) * t(l, j);
      t(i, j) = -tau[i] * sum;
    }
    t(i, i) = tau[i];
  }
}

} // namespace

template <class S>
template <class W>
tridiagonal_reduction<S>::tridiagonal_reduction(matrix_view<const W> a)
    : n_(a.rows), matrix_(n_, n_), tau_(as_size(n_ - 1)) {
  copy_upper(a, matrix());
  std::vector<real_of<S>> entries(as_size(n_)), others(as_size(n_ - 1));
  blas::sytrd<S>(blas::triangle::upper, matrix(), {entries.data(), n_, 1},
                 {others.data(), n_ - 1, 1}, {tau_.data(), n_ - 1, 1});
  diagonal.assign(entries.begin(), entries.end());
  beside.assign(others.begin(), others.end());
}

template <class S> void tridiagonal_reduction<S>::turn(matrix_view<S> c, int workers) {
  const logged step("reflectors", sizeof(S), false, n_, 0, c.cols);
  const blas::threads one(1); // those of the products are the workers
  if (blocks_.empty())
    find_blocks(workers);
  parallel_for(
      c.cols, group_width(c.cols),
      [&](index begin, index end, int) {
        const index cols = end - begin;
        columns<S> first(block_width, cols), second(block_width, cols);
        for (const block &b : blocks_) {
          const index width = b.v.cols;
          const matrix_view<S> x = c.block(0, begin, b.v.rows, cols);
          const matrix_view<S> inner = first.view(0, cols).block(0, 0, width, cols);
          const matrix_view<S> turned = second.view(0, cols).block(0, 0, width, cols);
          blas::gemm<S>(blas::transpose::adjoint, blas::transpose::no, S(1), b.v, x, S(0), inner);
          multiply<S>(col_major<const S>(b.t.data(), width, width), inner, S(0), turned);
          blas::gemm<S>(blas::transpose::no, blas::transpose::no, S(-1), b.v, turned, S(1), x);
        }
      },
      workers);
}

template <class S> void tridiagonal_reduction<S>::find_blocks(int workers) {
  std::vector<block> found(as_size((n_ - 1 + block_width - 1) / block_width));
  parallel_for(
      n_ - 1, block_width,
      [&](index first, index, int) { found[as_size(first / block_width)] = block_of(first); },
      n_ < 4 * block_width ? 1 : workers);
  blocks_.swap(found);
}

// Of the columns after `first`: they reach down to the row before the last of them.
template <class S>
typename tridiagonal_reduction<S>::block tridiagonal_reduction<S>::block_of(index first) {
  const index width = std::min(block_width, n_ - 1 - first), rows = first + width;
  const matrix_view<S> v = matrix().block(0, first + 1, rows, width);
  for (index j = 0; j < width; ++j) {
    v(first + j, j) = S(1);
    for (index i = first + j + 1; i < rows; ++i)
      v(i, j) = S(0);
  }
  std::vector<S> held;
  const matrix_view<S> g = packed(held, width, width);
  blas::syrk<S>(blas::triangle::upper, blas::transpose::adjoint, 1, v, 0, g);
  block out{v, std::vector<S>(as_size(width * width), S(0))};
  triangular_factor<S>(g, &tau_[as_size(first)], col_major(out.t.data(), width, width));
  return out;
}

template class tridiagonal_reduction<float>;
template class tridiagonal_reduction<double>;
template class tridiagonal_reduction<std::complex<float>>;
template class tridiagonal_reduction<std::complex<double>>;
#define EF_INSTANTIATE(S, W)                                                                       \
  template tridiagonal_reduction<S>::tridiagonal_reduction(matrix_view<const W>);
EF_INSTANTIATE(float, double)
EF_INSTANTIATE(double, double)
EF_INSTANTIATE(std::complex<float>, std::complex<double>)
EF_INSTANTIATE(std::complex<double>, std::complex<double>)

} // namespace eigenflow::svd
