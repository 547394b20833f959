// SPDX-License-Identifier: BSD-3-Clause
// What the parts of the svd driver share.
#pragma once

#include <eigenflow/blas.hpp>
#include <eigenflow/hermitian_spectrum.hpp>
#include <eigenflow/pages.hpp>
#include <eigenflow/svd.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#define EF_SVD_TYPES(X) X(float) X(double) X(std::complex<float>) X(std::complex<double>)

namespace eigenflow::svd {

inline std::size_t as_size(index n) { return static_cast<std::size_t>(n); }

template <class T> constexpr double epsilon() {
  return static_cast<double>(std::numeric_limits<real_of<T>>::epsilon());
}

// The tail energy ||A||^2 - sum s^2 is lost in rounding below this fraction of ||A||^2.
template <class T> constexpr double energy_floor() { return 64 * epsilon<T>(); }

// Products square the scale twice (A^T A in T, Gram matrices in double).
template <class T> bool ordinary(double norm) {
  return sizeof(real_of<T>) == sizeof(float) ? norm > 1e-12 && norm < 1e15
                                             : norm > 1e-70 && norm < 1e70;
}

// Packed column-major memory without initial values; grow() keeps the columns.
template <class T> class columns {
public:
  columns() = default;
  columns(index rows, index cols)
      : rows_(rows), capacity_(cols), data_(allocate_pages<T>(rows * cols)) {}
  matrix_view<T> view(index begin, index end) {
    return {data_.get() + begin * rows_, rows_, end - begin, 1, std::max<index>(1, rows_)};
  }
  index capacity() const { return capacity_; }
  void grow(index cols) {
    if (cols <= capacity_)
      return;
    const index larger = std::max(cols, capacity_ + capacity_ / 2);
    auto fresh = allocate_pages<T>(rows_ * larger);
    std::copy_n(data_.get(), rows_ * capacity_, fresh.get());
    data_ = std::move(fresh);
    capacity_ = larger;
  }

private:
  index rows_ = 0, capacity_ = 0;
  pages<T> data_;
};

template <class T, class A> matrix_view<T> packed(std::vector<T, A> &data, index rows, index cols) {
  data.resize(as_size(rows * cols));
  return {data.data(), rows, cols, 1, std::max<index>(1, rows)};
}

template <class From, class To> void copy(matrix_view<From> from, matrix_view<To> to) {
  if (from.row_stride == 1 && to.row_stride == 1) { // runs, for the compiler's vectors
    for (index j = 0; j < from.cols; ++j) {
      const From *source = from.data + j * from.col_stride;
      To *target = to.data + j * to.col_stride;
      for (index i = 0; i < from.rows; ++i)
        target[i] = static_cast<To>(source[i]);
    }
    return;
  }
  for (index j = 0; j < from.cols; ++j)
    for (index i = 0; i < from.rows; ++i)
      to(i, j) = static_cast<To>(from(i, j));
}

// Of square matrices, the triangle that LAPACK reads.
template <class From, class To> void copy_upper(matrix_view<From> from, matrix_view<To> to) {
  for (index j = 0; j < from.cols; ++j)
    copy(from.block(0, j, j + 1, 1), to.block(0, j, j + 1, 1));
}

template <class T> void scale(vector_view<T> x, real_of<T> by) {
  if (x.stride == 1) { // a run, for the compiler's vectors
    for (index i = 0; i < x.size; ++i)
      x.data[i] *= by;
    return;
  }
  for (index i = 0; i < x.size; ++i)
    x[i] *= by;
}

// Of that many rows, for a worker that touches each entry once or twice: about 50 us.
inline index columns_at_once(index rows) {
  return std::max<index>(1, (index{1} << 17) / std::max<index>(1, rows));
}

// In double precision, in partial sums.
template <class T> double squared_norm(vector_view<const T> x);
template <class T>
  requires(!std::is_const_v<T>)
double squared_norm(vector_view<T> x) {
  return squared_norm<T>(vector_view<const T>(x));
}

// Standard normals, E |x|^2 = 1: the block at (first_row, first_col) of the matrix that key makes.
template <class T>
void fill_gaussian(std::uint64_t key, index first_row, index first_col, matrix_view<T> x,
                   int workers);
// c = G^H x with the columns [first_col, first_col + c.rows) of that matrix.
template <class T>
void gaussian_product(std::uint64_t key, index first_col, matrix_view<const T> x, int workers,
                      matrix_view<T> c);
// The largest entry of each right vector real and positive, the first one on ties.
template <class T> void fix_signs(matrix_view<T> u, matrix_view<T> v, int workers);

// Every matrix that goes to LAPACK passes here: its loops may not end on an infinity.
template <class T> void require_finite(matrix_view<T> a);

template <class W> void mirror_upper(matrix_view<W> g) {
  for (index j = 0; j < g.cols; ++j)
    for (index i = j + 1; i < g.rows; ++i)
      g(i, j) = conjugate(g(j, i));
}

// Upper triangle of g += y^H y in double precision, whatever T; y has a unit stride.
template <class T> void add_gram(matrix_view<const T> y, matrix_view<wide_of<T>> g);

// x = the sum of x over the ranks that share the rows of A.
template <class T> void sum_over(const rank_group *ranks, matrix_view<T> x);
double sum_over(const rank_group *ranks, double x);

// g (full, Hermitian) = y^H y; the rows of y may be spread over ranks.
template <class T>
void gram(matrix_view<const T> y, matrix_view<wide_of<T>> g, int workers,
          const rank_group *ranks = nullptr);

// c = a b + beta c, all column-major.
template <class T>
void multiply(matrix_view<const T> a, matrix_view<const T> b, T beta, matrix_view<T> c) {
  blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(1), a, b, beta, c);
}

// c = a b for a tall a.
template <class T>
void tall_product(matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c, int workers);

// q = q w in place, a few rows at a time: the first w.cols columns hold the result.
template <class T>
void turn_columns(matrix_view<T> q, matrix_view<const wide_of<T>> w, int workers = 0);

// w -= v (v^H w); the coefficients go to h (v.cols x w.cols).
template <class T>
void project_out(matrix_view<const T> v, matrix_view<T> w, matrix_view<T> h, int workers);

// As orthonormalise of the public header. `once`: CholeskyQR a single time, for columns that are
// orthonormalised again: as independent as they were, but only about orthonormal. The rows of q may
// be spread over ranks; all of them together are then at least as many as the columns.
template <class T>
void orthonormalise(matrix_view<T> q, matrix_view<wide_of<T>> r, int workers, bool once,
                    const rank_group *ranks = nullptr);

// q = Q R by Householder: the first min(rows, cols) columns of q hold Q, and r, with as many rows,
// holds R.
template <class T> void thin_qr(matrix_view<T> q, matrix_view<wide_of<T>> r);

// Householder's QR of a q whose rows are spread over ranks (TSQR, Demmel et al. 2012): q holds Q,
// and r becomes R r. Each rank gets the small factors of all, p k^2 numbers.
template <class T>
void householder_over(const rank_group &ranks, matrix_view<T> q, matrix_view<wide_of<T>> r);

// The basis in the short space and its image: Y = A V for the columns [0, size).
template <class T> struct subspace {
  columns<T> v, y;
  index size = 0;
  bool identity = false; // v is the identity and holds nothing
  bool kept = true;      // y holds the image; else it is computed again when it is needed
  // A^H Y = V (Y^H Y) + V_next next E^T, E the last next.cols unit vectors; empty when unknown.
  std::vector<wide_of<T>> next;
  std::vector<wide_of<T>> gram; // Y^H Y in the working precision; empty when unknown
  std::unique_ptr<hermitian_spectrum<wide_of<T>>> ritz; // of gram, where it is known
  index next_rows = 0, next_cols = 0;
  int passes = 0;
};

// What is wanted, in the units of the scaled operator.
struct target {
  index rank;               // at most
  double absolute_limit;    // of the error; negative: none
  double relative_limit;    // of the error to ||A||; negative: none
  index oversampling;       // columns of the basis beyond the rank
  double floor;             // energies below floor * norm_squared are rounding
  bool spectral;            // the norm of the limits
  double norm_squared = -1; // of A, Frobenius; negative while it is not known
  double tolerance = -1;    // absolute, Frobenius; negative: none
  index chosen = -1;        // the rank, where something else than the energies decided
  index short_side = 0;     // of A
  index surplus = 0;        // triplets beyond the rank, for a caller that chooses again
  double certified = -1;    // square of a bound on the spectral error at the rank chosen

  bool by_spectral_tolerance() const { return spectral && !by_rank(); }
  // The square of the spectral error allowed, from that of the first singular value.
  double spectral_allowance(double first_squared) const {
    const double limit =
        std::max(absolute_limit, std::max(relative_limit, 0.0) * std::sqrt(first_squared));
    return limit * limit;
  }
  bool by_rank() const { return absolute_limit < 0 && relative_limit < 0; }
  // Of `size` values, those that the choice of the rank looks at.
  index values_needed(index size) const {
    return by_rank() ? std::min(size, rank + surplus + 1) : size;
  }
  // What the limits allow, and the norm they refer to, at least: the first singular value is not
  // known, but the sum of the squares is at most short_side times the first.
  double least_allowance() const;
  double least_norm() const;
  bool below_floor() const;
  // Where a small side, or a rank near it, makes the full decomposition the cheaper one.
  bool exact_is_cheaper() const;
  // In memory, where the Gram matrix of the short side takes one pass.
  bool gram_is_cheaper(index long_side) const;
  void set_norm(double squared) {
    norm_squared = squared;
    tolerance = by_rank() || spectral
                    ? -1
                    : std::max({absolute_limit, 0.0,
                                std::max(relative_limit, 0.0) * std::sqrt(norm_squared)});
  }
};

// Of a Gram matrix with the rounding of T: by rank it is also reduced in that precision; by
// tolerance, sums of many small values would show it.
template <class T>
hermitian_spectrum<wide_of<T>> spectrum_of(matrix_view<const wide_of<T>> gram,
                                           const target &wanted) {
  const bool in_single = sizeof(real_of<T>) == sizeof(float) && wanted.by_rank();
  return hermitian_spectrum<wide_of<T>>(gram, in_single);
}

template <class T> target target_of(const linear_operator<T> &a, const options &options);
// Throws for a tolerance that this precision cannot see.
template <class T> void refuse_unresolvable(const target &wanted, const linear_operator<T> &a);

// Least rank whose tail energy is within the tolerance, or -1 when `count` values do not reach it.
index rank_for(const double *squares, index count, const target &wanted);
// The same where all squares are known: their tail sums, which do not cancel as the norm less the
// head does.
index rank_from_tails(const std::vector<double> &squares, const target &wanted, double *tail);

// Images of Gaussian vectors that no basis is made of. What is left of them outside a basis has the
// energy of A outside it as its expected mean square.
template <class T> class norm_probe {
public:
  norm_probe(const linear_operator<T> &a, std::uint64_t key, int workers);
  // Takes out A V V^H for new columns V with the image Y = A V.
  void remove(matrix_view<const T> v, matrix_view<const T> y);
  // Takes out Q Q^H A for orthonormal columns Q.
  void remove_range(matrix_view<const T> q);
  double energy();

private:
  columns<T> vectors_, images_;
};

// ||A - U diag(s) V^H||_F^2, the mean over hold_out_vectors fresh Gaussian vectors: one product.
template <class T>
double residual_energy(const linear_operator<T> &a, matrix_view<const T> u, const double *s,
                       matrix_view<const T> v, std::uint64_t key, int workers);

// Upper bounds on the spectral norm of A (I - V V^H) and of A - U diag(s) V^H.
template <class T>
double outside_bound(const linear_operator<T> &a, matrix_view<const T> v, std::uint64_t key,
                     int workers, int &passes);
template <class T>
double residual_bound(const linear_operator<T> &a, matrix_view<const T> u, const double *s,
                      matrix_view<const T> v, std::uint64_t key, int workers, int &passes);

// Upper bound on the square of the spectral error when the first `rank` Ritz triplets are kept.
// Ritz values in `squares` descend; column j of x belongs to the (size - 1 - j)-th of them. The
// newest `width` columns of the basis lead out of it by `next`, and A has a norm of at most
// `outside` there.
template <class W>
double deflated_bound(const std::vector<double> &squares, matrix_view<const W> x,
                      const std::vector<W> &next, index width, index rank, double outside);

template <class W> struct small_svd {
  index size = 0;
  std::vector<W> u, vt;
  std::vector<double> s;
};

// To the rounding of double precision; b is overwritten.
template <class W> small_svd<W> decompose_small(matrix_view<W> b);
// To the rounding of T.
template <class T> small_svd<wide_of<T>> decompose_small_as(matrix_view<wide_of<T>> b, int workers);

// LAPACK has the driver's threads for full decompositions of this many columns or more; below, and
// in everything else, those of BLAS would spin on the cores that the products need.
inline constexpr index threaded_side = 512;
blas::threads threads_for(index size, int workers);

template <class T> struct factors {
  index rank = 0;
  page_vector<T> left, right;    // column-major
  std::vector<double> s;         // rank values, before rounding to T
  std::vector<double> residuals; // empty when not known without another product
  double tail_squared = -1;      // sum of the discarded squares where all were computed
  double total_squared = 0;      // of A on the basis
  double next_value = -1;        // the first that was discarded, where all are known
  int passes = 0;
};

// True when the basis holds what is wanted; false when the exact way is the cheaper one. Where the
// norm of A is not known, it is estimated on the way and set in `wanted`; the number of estimates
// is returned in `looks`.
template <class T>
bool build_krylov(const linear_operator<T> &a, target &wanted, std::uint64_t key, int workers,
                  subspace<T> &space, int &looks);
// Makes up for what the rounding of single precision hides from the Krylov basis; does nothing
// where the values wanted are not that small, by tolerance, or without the image.
template <class T>
void polish(const linear_operator<T> &a, const target &wanted, int workers, subspace<T> &space);
// Orthonormal basis of the range after `power_iterations` steps, in space.v; its image A^H V in y.
// Returns the leave-one-out estimate of the squared error of the range when there are no steps, and
// a negative number when there are.
template <class T>
double build_subspace(const linear_operator<T> &a, index size, int power_iterations,
                      std::uint64_t key, int workers, subspace<T> &space);
// a is the operator that the image is of.
template <class T>
factors<T> extract(const linear_operator<T> &a, subspace<T> &space, const target &wanted,
                   int workers);
// The decomposition from sketches of the range, the co-range and a core, all taken in one sweep
// (Tropp, Yurtsever, Udell and Cevher 2019). Estimates the squared norm and error.
template <class T>
factors<T> one_pass_factors(const linear_operator<T> &a, const target &wanted, std::uint64_t key,
                            int workers, double &norm_squared, double &error_squared);
// Sets the norm in `wanted` when it is not known.
template <class T>
factors<T> exact_factors(const linear_operator<T> &a, target &wanted, int workers);

} // namespace eigenflow::svd
