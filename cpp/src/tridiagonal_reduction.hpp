// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "svd_detail.hpp"

#include <vector>

namespace eigenflow::svd {

// A Hermitian matrix as Q T Q^H, T real and tridiagonal. Q = H_{n-1} ... H_1 is kept as sytrd
// leaves it in the upper triangle: H_j = I - tau_{j-1} v_j v_j^H, v_j is 1 in row j - 1, 0 below,
// and above that what column j holds. LAPACK's own product with Q is one call on one thread, and
// may write into the reflectors; here blocks of them are I - V T V^H with a lower triangular T
// (Schreiber and Van Loan 1989), and workers share the columns.
template <class S> class tridiagonal_reduction {
public:
  // Of n x n finite numbers, n > 0, of which a copy in S is made. Costs 4/3 n^3 operations.
  template <class W> explicit tridiagonal_reduction(matrix_view<const W> a);

  std::vector<double> diagonal, beside; // of T

  // c = Q c; n rows, packed columns. Costs 2 n^2 c.cols operations, and once n^2 times the width of
  // a block. The same for any number of workers.
  void turn(matrix_view<S> c, int workers);

private:
  struct block {
    matrix_view<const S> v; // without the rows that are 0
    std::vector<S> t;       // v.cols x v.cols
  };
  matrix_view<S> matrix() { return matrix_.view(0, n_); }
  void find_blocks(int workers);
  block block_of(index first);

  index n_;
  columns<S> matrix_; // find_blocks writes the ones and zeros of V into it
  std::vector<S> tau_;
  std::vector<block> blocks_; // once they are needed
};

} // namespace eigenflow::svd
