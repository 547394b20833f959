// SPDX-License-Identifier: BSD-3-Clause
// The sine-activated low-rank matrix S = sin(omega U V^T) / gain of Ji et al., arXiv 2403.19243,
// applied without ever being stored: tiles of it are made and used in cache. Scratch memory is
// under 4 MiB for each worker, whatever the sizes.
//
// Phases are computed in half-turns with one fused multiply-add for each of the k columns of U, so
// the range reduction is exact and the only large error is the rounding of the phase itself:
// (k + 3) half ulps of the phase. `exact_phase` drops whole turns term by term and keeps a small
// error up to phases of 2^24 (float) or 2^53 (double) half-turns, for five times the operations.
//
// Each entry of a result is one chain of operations that depends on the inputs only: the bytes are
// the same for any number of workers, and for v3, v4 and NEON.
#pragma once

#include <eigenflow/communicator.hpp>
#include <eigenflow/views.hpp>

#include <cstdint>
#include <vector>

namespace eigenflow::sine {

struct options {
  double omega = 1;
  double gain = 1; // not zero
  bool exact_phase = false;
  int workers = 0;
  // The factor that carries omega / pi, which decides the rounding of the entries. Only `vjp` and
  // `jvp` look at it: `apply_transposed` exchanges the factors by itself.
  bool scale_right = false;
};

struct accuracy {
  double max_half_turns; // |omega| / pi max_i |u_i| max_j |v_j|: no phase is larger
  double error_bound;    // of any sine before the division by gain, at most 2
  bool overflows;        // omega U or a phase may leave the range of Real: results may be NaN
};

// A bound from the row norms, in O(k (m + n)). U is m x k, V is n x k.
template <class Real>
accuracy phase_accuracy(matrix_view<const Real> U, matrix_view<const Real> V, const options &opts);

// Y = S X for X n x T and Y m x T, which must not overlap. Costs about m n (k + 16 + T) fused
// multiply-adds; work is split over blocks of rows of Y.
template <class Real>
void apply(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
           matrix_view<Real> Y, const options &opts);

// X = S^T Y, with the very entries of S that `apply` uses.
template <class Real>
void apply_transposed(matrix_view<const Real> U, matrix_view<const Real> V,
                      matrix_view<const Real> Y, matrix_view<Real> X, const options &opts);

// out = S, m x n: the entries that `apply` uses.
template <class Real>
void entries(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<Real> out,
             const options &opts);

// A factor whose entries are numbers of a table: entry i, row by row, is table[code i], and code i
// are the bits [i bits, (i + 1) bits) of `codes`, lowest bit of a byte first.
struct packed_factor {
  const std::uint8_t *codes = nullptr; // at least (rows cols bits + 7) / 8 bytes
  const float *table = nullptr;        // 2^bits entries
  index rows = 0, cols = 0;
  int bits = 1; // 1 to 8
};

// `apply` and `apply_transposed` for packed factors: entries are decoded where a tile needs them,
// and the factors never exist in full. The bytes are those of the decoded factors.
template <class Real>
void apply(const packed_factor &U, const packed_factor &V, matrix_view<const Real> X,
           matrix_view<Real> Y, const options &opts);

template <class Real>
void apply_transposed(const packed_factor &U, const packed_factor &V, matrix_view<const Real> Y,
                      matrix_view<Real> X, const options &opts);

// What `vjp` fills: U m x k, V n x k, X n x T, each row contiguous. A view without data is skipped.
template <class Real> struct gradient_views {
  matrix_view<Real> U, V, X;
};

struct scalar_gradients {
  double omega, gain;
};

// The gradients of <grad_output, S X>. With G = grad_output X^T and Q = cos(omega U V^T) o G /
// gain:
//   dU = omega Q V, dV = omega Q^T U, domega = <U, Q V>, dgain = -<S, G> / gain, dX = S^T
//   grad_output.
// Tiles of S, G and Q are made once each and never stored, at about m n (3 k + 2 T + 30) fused
// multiply-adds when all are wanted. The scalars come always.
template <class Real>
scalar_gradients vjp(matrix_view<const Real> U, matrix_view<const Real> V,
                     matrix_view<const Real> X, matrix_view<const Real> grad_output,
                     const gradient_views<Real> &out, const options &opts);

// Half the squared distance of S to a given matrix W, and its gradients as above.
struct residual_result {
  double loss;
  scalar_gradients gradients;
};

// Fills out.U and out.V where they have data; out.X must have none. About m n (3 k + 40).
template <class Real>
residual_result residual_gradients(matrix_view<const Real> U, matrix_view<const Real> V,
                                   matrix_view<const Real> W, const gradient_views<Real> &out,
                                   const options &opts);

// U whose rows are spread over ranks: each has its block of U and of every matrix with as many rows
// as S, none included, and the whole of V and X. `apply` then gives a block of Y and needs no
// message. The transposed product is one sum of n x T numbers.
template <class Real>
void apply_transposed(matrix_view<const Real> U, matrix_view<const Real> V,
                      matrix_view<const Real> Y, matrix_view<Real> X, const options &opts,
                      const rank_group &ranks);
template <class Real, communicator C>
void apply_transposed(matrix_view<const Real> U, matrix_view<const Real> V,
                      matrix_view<const Real> Y, matrix_view<Real> X, const options &opts,
                      const C &comm) {
  const group_of<C> ranks(comm);
  apply_transposed<Real>(U, V, Y, X, opts, static_cast<const rank_group &>(ranks));
}

// The gradient of U is that of the block; those of V and X, and the scalars, are summed over the
// ranks. All ranks must want the same ones.
template <class Real>
scalar_gradients vjp(matrix_view<const Real> U, matrix_view<const Real> V,
                     matrix_view<const Real> X, matrix_view<const Real> grad_output,
                     const gradient_views<Real> &out, const options &opts, const rank_group &ranks);
template <class Real, communicator C>
scalar_gradients vjp(matrix_view<const Real> U, matrix_view<const Real> V,
                     matrix_view<const Real> X, matrix_view<const Real> grad_output,
                     const gradient_views<Real> &out, const options &opts, const C &comm) {
  const group_of<C> ranks(comm);
  return vjp<Real>(U, V, X, grad_output, out, opts, static_cast<const rank_group &>(ranks));
}

// Tangents of the inputs; a view without data is zero.
template <class Real> struct tangents {
  matrix_view<const Real> U, V, X;
  double omega = 0, gain = 0;
};

// out = the derivative of S X along the tangents, m x T, at about m n (3 k + 2 T + 30).
template <class Real>
void jvp(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
         const tangents<Real> &along, matrix_view<Real> out, const options &opts);

// Chebyshev nodes in the box [-half_widths, half_widths] that holds the rows of V, an even count in
// each of its 1 to 3 dimensions.
struct anchor_grid {
  std::vector<index> counts;
  std::vector<double> half_widths;
};

// Y = S X with S interpolated in the rows of V at the nodes of a grid. The sine is odd, so half of
// the nodes, q, are enough: S ~ A B^T with A = sin(omega U nodes^T) / gain, m x q. Costs about
// n q (8 + T) + m q (k + 16 + T) fused multiply-adds. The error of an entry is that of the
// interpolation; the caller chooses the grid. Same bytes for any number of workers.
template <class Real>
void apply_anchors(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
                   matrix_view<Real> Y, const anchor_grid &grid, const options &opts);

// Y = S X with the sine replaced by its Taylor polynomial of an odd order, in monomials of the rows
// of U and V. With q monomials about (m + n) q (4 + T). For phases up to 2: digits cancel beyond.
template <class Real>
void apply_taylor(matrix_view<const Real> U, matrix_view<const Real> V, matrix_view<const Real> X,
                  matrix_view<Real> Y, index order, const options &opts);

// Elementwise sin(pi t) and cos(pi t), within 3 ulp (4 without fused multiply-add).
template <class Real>
void sincospi(vector_view<const Real> t, vector_view<Real> sine, vector_view<Real> cosine);

// For benchmarks: the arithmetic of a product for n entries of the matrix, on one thread, out of
// registers. The time of a product over this one's is what its memory accesses cost.
template <class Real> double register_loop(index depth, index n_rhs, index n);

} // namespace eigenflow::sine
