// SPDX-License-Identifier: BSD-3-Clause
// An eigenvector of a tridiagonal T is the solution of (T - t) z = e_r where the two factorisations
// L D L^T from the top and U D U^T from the bottom meet with the least remainder (Fernando 1997;
// Dhillon and Parlett 2004). With t right to eps ||T|| its residual is of that size, and what it
// holds of a neighbour's vector is eps ||T|| / gap; a Cholesky factor takes that out again.
#include "tridiagonal.hpp"

#include "isa/svd.hpp"
#include "svd_detail.hpp"

#include <eigenflow/call_log.hpp>
#include <eigenflow/parallel.hpp>

#include <atomic>

namespace eigenflow::svd::tridiagonal {
namespace {

constexpr double independent = 0.3;   // of a unit vector, outside of those before it
constexpr double residual_limit = 64; // times eps ||T||
constexpr index together = 8;         // vectors that a worker finds at once

double largest_row_sum(const matrix &t) {
  double largest = 0;
  for (std::size_t i = 0; i < t.diagonal.size(); ++i) {
    const double before = i > 0 ? std::abs(t.beside[i - 1]) : 0.0;
    const double after = i < t.beside.size() ? std::abs(t.beside[i]) : 0.0;
    largest = std::max(largest, std::abs(t.diagonal[i]) + before + after);
  }
  return largest;
}

class factorisations {
public:
  explicit factorisations(const matrix &t)
      : a_(t.diagonal), b_(t.beside), n_(a_.size()), eps_(t.eps), norm_(largest_row_sum(t)),
        down_(n_), up_(n_), from_below_(n_), from_above_(n_) {
    double largest = 0;
    for (const double b : b_)
      largest = std::max(largest, std::abs(b));
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
    return std::isfinite(sum) && least * inverse <= residual_limit * eps_ * norm_;
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
  double eps_, norm_, pivot_;
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

// T scaled by a power of two to a row sum of at most 1, so that no square is out of range.
class scaled_squares {
public:
  scaled_squares(const matrix &t, double norm)
      : diagonal_(t.diagonal), squares_(t.diagonal.size()),
        bisections_(static_cast<int>(std::ceil(-std::log2(t.eps))) + 2) {
    std::frexp(norm, &exponent_);
    for (std::size_t i = 0; i < diagonal_.size(); ++i) {
      diagonal_[i] = std::ldexp(diagonal_[i], -exponent_);
      const double b = i > 0 ? std::ldexp(t.beside[i - 1], -exponent_) : 0.0;
      squares_[i] = std::max(b * b, std::numeric_limits<double>::min());
    }
  }

  // The values [begin, end) of those in descending order, at most shifts_at_once.
  void bisect(index begin, index end, double *values) const {
    const index n = static_cast<index>(diagonal_.size());
    double low[isa::shifts_at_once], high[isa::shifts_at_once], middle[isa::shifts_at_once];
    std::int64_t below[isa::shifts_at_once];
    std::fill_n(low, isa::shifts_at_once, -1.0);
    std::fill_n(high, isa::shifts_at_once, 1.0);
    for (int step = 0; step < bisections_; ++step) {
      for (int lane = 0; lane < isa::shifts_at_once; ++lane)
        middle[lane] = 0.5 * (low[lane] + high[lane]);
      isa::svd().count_below(diagonal_.data(), squares_.data(), n, middle, below);
      for (int lane = 0; lane < isa::shifts_at_once; ++lane)
        (begin + lane < n - below[lane] ? low : high)[lane] = middle[lane];
    }
    for (index j = begin; j < end; ++j)
      values[j] = std::ldexp(0.5 * (low[j - begin] + high[j - begin]), exponent_);
  }

private:
  std::vector<double> diagonal_, squares_; // squares_[i]: beside the diagonal, above row i
  int bisections_;                         // of [-1, 1], to a width of eps / 2 or less
  int exponent_ = 0;
};

} // namespace

std::vector<double> leading_values(const matrix &t, index count, int workers) {
  const logged step("bisection", sizeof(double), false, static_cast<index>(t.diagonal.size()), 0,
                    count);
  std::vector<double> values(as_size(count), 0.0);
  const double norm = largest_row_sum(t);
  if (norm == 0)
    return values;
  const scaled_squares scaled(t, norm);
  parallel_for(
      count, isa::shifts_at_once,
      [&](index begin, index end, int) { scaled.bisect(begin, end, values.data()); }, workers);
  return values;
}

bool twisted_vectors(const matrix &t, const std::vector<double> &values, matrix_view<double> z,
                     int workers) {
  std::atomic<bool> right{true};
  parallel_for(
      z.cols, together,
      [&](index begin, index end, int) {
        factorisations of(t);
        for (index j = begin; j < end && right; ++j)
          if (!of.vector_of(values[as_size(j)], &z(0, j)))
            right = false;
      },
      workers);
  return right && orthonormalise_columns(z);
}

void all_vectors(const matrix &t, matrix_view<double> z) {
  std::vector<double> diagonal(t.diagonal), beside(t.beside);
  const index n = z.rows;
  columns<double> held(n, n);
  const matrix_view<double> all = held.view(0, n);
  blas::stedc<double>({diagonal.data(), n, 1}, {beside.data(), n - 1, 1}, all);
  for (index j = 0; j < z.cols; ++j)
    std::copy_n(&all(0, n - 1 - j), n, &z(0, j));
}

} // namespace eigenflow::svd::tridiagonal
