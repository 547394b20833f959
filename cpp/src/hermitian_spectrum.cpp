// SPDX-License-Identifier: BSD-3-Clause
// An eigenvector of a tridiagonal T is the solution of (T - t) z = e_r where the two factorisations
// L D L^T from the top and U D U^T from the bottom meet with the least remainder (Fernando 1997;
// Dhillon and Parlett 2004). With t right to eps ||T|| its residual is of that size, and what it
// holds of a neighbour's vector is eps ||T|| / gap; a Cholesky factor takes that out again. Vectors
// that are too dependent for that, of values that agree to nearly all digits, or whose residual is
// not small, are left to divide and conquer.
#include "svd_detail.hpp"

#include <eigenflow/parallel.hpp>

#include <atomic>

namespace eigenflow::svd {
namespace {

constexpr double independent = 0.3; // of a unit vector, outside of those before it
constexpr double residual_limit = 64 * std::numeric_limits<double>::epsilon();
constexpr index together = 32; // columns that a worker turns at once

class tridiagonal {
public:
  tridiagonal(const std::vector<double> &diagonal, const std::vector<double> &beside)
      : a_(diagonal), b_(beside), n_(diagonal.size()), down_(n_), up_(n_), from_below_(n_),
        from_above_(n_) {
    double largest = 0;
    for (std::size_t i = 0; i < n_; ++i) {
      const double row = std::abs(a_[i]) + (i > 0 ? std::abs(b_[i - 1]) : 0.0) +
                         (i + 1 < n_ ? std::abs(b_[i]) : 0.0);
      norm_ = std::max(norm_, row);
      largest = std::max(largest, i + 1 < n_ ? std::abs(b_[i]) : 0.0);
    }
    pivot_ = std::numeric_limits<double>::min() * std::max(1.0, largest * largest);
  }

  // The unit vector z of the eigenvalue t; false when (T - t) z is not small.
  bool vector_of(double t, double *z) {
    factorise(t);
    std::size_t meet = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < n_; ++i) {
      const double remainder = std::abs(down_[i] + up_[i] - (a_[i] - t));
      if (remainder < least) {
        least = remainder;
        meet = i;
      }
    }
    z[meet] = 1;
    for (std::size_t i = meet; i-- > 0;)
      z[i] = vanishing(-from_below_[i] * z[i + 1]);
    for (std::size_t i = meet + 1; i < n_; ++i)
      z[i] = vanishing(-from_above_[i] * z[i - 1]);
    double sum = 0;
    for (std::size_t i = 0; i < n_; ++i)
      sum += z[i] * z[i];
    const double inverse = 1 / std::sqrt(sum);
    for (std::size_t i = 0; i < n_; ++i)
      z[i] *= inverse;
    return std::isfinite(sum) && least * inverse <= residual_limit * norm_;
  }

private:
  double safe(double pivot) const { return std::abs(pivot) < pivot_ ? -pivot_ : pivot; }
  // Subnormal numbers are slow, and their squares are nothing.
  static double vanishing(double x) { return std::abs(x) < 1e-160 ? 0.0 : x; }

  void factorise(double t) {
    down_[0] = safe(a_[0] - t);
    up_[n_ - 1] = safe(a_[n_ - 1] - t);
    for (std::size_t i = 0, j = n_ - 1; i + 1 < n_; ++i, --j) {
      from_below_[i] = b_[i] / down_[i];
      down_[i + 1] = safe(a_[i + 1] - t - b_[i] * from_below_[i]);
      from_above_[j] = b_[j - 1] / up_[j];
      up_[j - 1] = safe(a_[j - 1] - t - b_[j - 1] * from_above_[j]);
    }
  }

  const std::vector<double> &a_, &b_;
  std::size_t n_;
  double norm_ = 0, pivot_ = 0;
  std::vector<double> down_, up_;               // pivots of both factorisations
  std::vector<double> from_below_, from_above_; // what one entry of z is of its neighbour, negated
};

// x = x R^-1 with R^H R = x^H x; false when a column is nearly in the span of those before it.
bool orthonormalise_columns(matrix_view<double> x) {
  const index k = x.cols;
  columns<double> held(k, k);
  const matrix_view<double> g = held.view(0, k);
  blas::syrk<double>(blas::triangle::upper, blas::transpose::yes, 1.0, x, 0.0, g);
  if (blas::potrf<double>(blas::triangle::upper, g) != 0)
    return false;
  for (index j = 0; j < k; ++j)
    if (!(g(j, j) > independent))
      return false;
  blas::trsm<double>(blas::side::right, blas::triangle::upper, blas::transpose::no, 1.0, g, x);
  return true;
}

bool twisted_vectors(const std::vector<double> &diagonal, const std::vector<double> &beside,
                     const std::vector<double> &values, matrix_view<double> z, int workers) {
  std::atomic<bool> right{true};
  parallel_for(
      z.cols, together,
      [&](index begin, index end, int) {
        tridiagonal t(diagonal, beside);
        for (index j = begin; j < end && right; ++j)
          if (!t.vector_of(values[as_size(j)], &z(0, j)))
            right = false;
      },
      workers);
  return right && orthonormalise_columns(z);
}

void all_vectors(std::vector<double> diagonal, std::vector<double> beside, matrix_view<double> z) {
  const index n = z.rows;
  columns<double> held(n, n);
  const matrix_view<double> all = held.view(0, n);
  blas::stedc<double>({diagonal.data(), n, 1}, {beside.data(), n - 1, 1}, all);
  for (index j = 0; j < z.cols; ++j)
    std::copy_n(&all(0, n - 1 - j), n, &z(0, j));
}

} // namespace

template <class W>
hermitian_spectrum<W>::hermitian_spectrum(std::vector<W> matrix, index n)
    : n_(n), reflectors_(std::move(matrix)), tau_(as_size(std::max<index>(1, n))) {
  if (n == 0)
    return;
  std::vector<real_of<W>> diagonal(as_size(n)), beside(as_size(n));
  blas::sytrd<W>(blas::triangle::upper, col_major(reflectors_.data(), n, n),
                 {diagonal.data(), n, 1}, {beside.data(), n - 1, 1}, {tau_.data(), n - 1, 1});
  diagonal_.assign(diagonal.begin(), diagonal.end());
  beside_.assign(beside.begin(), beside.end());
  values_ = diagonal_;
  std::vector<double> scratch(beside_);
  blas::sterf<double>({values_.data(), n, 1}, {scratch.data(), n - 1, 1});
  std::reverse(values_.begin(), values_.end());
}

template <class W>
matrix_view<const W> hermitian_spectrum<W>::leading_vectors(index count, int workers) {
  const std::size_t wanted = as_size(n_ * count);
  if (vectors_.size() < wanted) {
    columns<double> held(n_, count);
    const matrix_view<double> z = held.view(0, count);
    if (4 * count > 3 * n_ || !twisted_vectors(diagonal_, beside_, values_, z, workers))
      all_vectors(diagonal_, beside_, z);
    vectors_.resize(wanted);
    const matrix_view<W> x = col_major(vectors_.data(), n_, count);
    copy(z, x);
    blas::ormtr<W>(blas::triangle::upper, col_major<const W>(reflectors_.data(), n_, n_),
                   {tau_.data(), n_ - 1, 1}, x);
  }
  return col_major<const W>(vectors_.data(), n_, count);
}

template class hermitian_spectrum<float>;
template class hermitian_spectrum<double>;
template class hermitian_spectrum<std::complex<double>>;

} // namespace eigenflow::svd
