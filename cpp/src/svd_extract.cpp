// SPDX-License-Identifier: BSD-3-Clause
// From a basis V and its image Y = A V to singular triplets. The Gram matrix Y^H Y gives the right
// vectors with an error of eps (s_1 / s_k)^2; orthonormalising Y X and decomposing the small factor
// takes that error out again, so the results are as good as those of an SVD of Y as long as the
// Gram matrix still sees s_k. Below that, the QR factorisation of Y is used. Where the image was
// not kept, two more reads of A replace it: one for the Gram matrix, one for the left vectors.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <numeric>

namespace eigenflow::svd {
namespace {

// Eigenvalues of a Gram matrix in double carry errors of eps s_1^2: it sees s_k above 3e-6 s_1.
constexpr double visible = 1e-11;
constexpr double gram_rounding = 8; // times eps s_1^2: of a Gram matrix in the precision of A
constexpr index small_side = 48;

template <class T> class extraction {
  using W = wide_of<T>;

public:
  extraction(const linear_operator<T> &a, subspace<T> &space, const target &wanted, int workers)
      : a_(a), space_(space), wanted_(wanted), workers_(workers) {}

  factors<T> run(bool trust_gram) {
    if (!trust_gram || !(by_quick_gram() || by_gram()))
      by_qr();
    return std::move(out_);
  }

private:
  matrix_view<T> y() { return space_.y.view(0, space_.size); }
  matrix_view<T> v() { return space_.v.view(0, space_.size); }
  void count_pass() { out_.passes += 1; }

  // From the leading squares, as many as the choice needs, or all.
  index choose(const std::vector<double> &squares) {
    if (space_.identity)
      return choose_among_all(squares);
    if (wanted_.chosen >= 0)
      return std::min(static_cast<index>(squares.size()), wanted_.chosen);
    const index size = static_cast<index>(squares.size());
    const index found = wanted_.by_rank() ? -1 : rank_for(squares.data(), size, wanted_);
    const index rank = found < 0 ? std::min(size, wanted_.rank) : found;
    index more = std::min(wanted_.surplus, size - rank);
    while (more > 0 && !(squares[as_size(rank + more - 1)] > visible * squares[0]))
      --more;
    return rank + more;
  }

  index choose_among_all(const std::vector<double> &squares) {
    index rank = 0;
    if (wanted_.by_spectral_tolerance()) {
      const double allowed = wanted_.spectral_allowance(squares[0]);
      while (rank < std::min<index>(wanted_.rank, as_index(squares)) &&
             squares[as_size(rank)] > allowed)
        ++rank;
      out_.tail_squared = std::accumulate(squares.begin() + rank, squares.end(), 0.0);
    } else {
      double tail = 0;
      rank = rank_from_tails(squares, wanted_, &tail);
      if (as_index(squares) == space_.size)
        out_.tail_squared = tail;
    }
    // Gram matrices do not see smaller values.
    const bool last = rank == as_index(squares);
    if (last || squares[as_size(rank)] > visible * squares[0])
      out_.next_value = last ? 0.0 : std::sqrt(squares[as_size(rank)]);
    return rank;
  }

  static index as_index(const std::vector<double> &values) {
    return static_cast<index>(values.size());
  }

  void image_gram(matrix_view<W> g) {
    if (space_.kept)
      return gram<T>(y(), g, workers_, a_.ranks());
    if (space_.identity)
      a_.gram(g);
    else
      a_.image_gram(v(), g);
    count_pass();
  }

  // The Gram matrix that the basis was built with, or that of a small A, with the rounding of T.
  bool by_quick_gram() {
    const index d = space_.size;
    if (space_.ritz != nullptr)
      return by_spectrum(*space_.ritz, true);
    if (!space_.gram.empty())
      return by_quick_spectrum(packed(space_.gram, d, d));
    if (!space_.identity || space_.kept || (wanted_.by_rank() && wanted_.rank == d))
      return false;
    columns<W> held(d, d);
    if (!a_.quick_gram(held.view(0, d)))
      return false;
    count_pass();
    return by_quick_spectrum(held.view(0, d));
  }

  bool by_quick_spectrum(matrix_view<W> g) {
    require_finite(g);
    hermitian_spectrum<W> spectrum = spectrum_of<T>(g, wanted_);
    return by_spectrum(spectrum, true);
  }

  bool by_gram() {
    columns<W> held(space_.size, space_.size);
    const matrix_view<W> g = held.view(0, space_.size);
    image_gram(g);
    require_finite(g);
    hermitian_spectrum<W> spectrum(g);
    return by_spectrum(spectrum, false);
  }

  // A rounding of the Gram matrix turns the kept vectors towards the others by rounding / gap, and
  // loses that squared times the gap of their energy: nothing beside the tail, in most cases.
  bool loses_nothing(const std::vector<double> &squares, index rank) const {
    const double rounding = gram_rounding * epsilon<T>() * squares[0];
    const double next = rank < as_index(squares) ? squares[as_size(rank)] : 0.0;
    const double gap = std::max(squares[as_size(rank - 1)] - next, rounding);
    double tail = wanted_.norm_squared;
    for (index j = 0; j < rank; ++j)
      tail -= squares[as_size(j)];
    return rounding * rounding / gap <= 1e-4 * tail;
  }

  bool by_spectrum(hermitian_spectrum<W> &spectrum, bool rounded) {
    std::vector<double> squares(
        spectrum.leading_values(wanted_.values_needed(spectrum.size()), workers_));
    for (double &value : squares)
      value = std::max(0.0, value);
    out_.total_squared = std::max(0.0, spectrum.trace());
    const index rank = choose(squares);
    if (rank == 0)
      return true;
    if (!(squares[as_size(rank - 1)] > visible * squares[0]))
      return false;
    if (rounded && !loses_nothing(squares, rank))
      return false;
    out_.rank = rank;
    std::vector<W> chosen;
    const matrix_view<W> x = packed(chosen, spectrum.size(), rank);
    copy(spectrum.leading_vectors(rank, workers_), x);
    refine(x);
    return true;
  }

  // left = A V X = Y X.
  void image_of(matrix_view<W> x, matrix_view<T> left) {
    columns<T> rounded(x.rows, x.cols);
    copy(x, rounded.view(0, x.cols));
    if (space_.kept)
      return tall_product<T>(y(), rounded.view(0, x.cols), left, workers_);
    count_pass();
    if (space_.identity)
      return a_.apply(rounded.view(0, x.cols), left);
    columns<T> turned(v().rows, x.cols);
    tall_product<T>(v(), rounded.view(0, x.cols), turned.view(0, x.cols), workers_);
    a_.apply(turned.view(0, x.cols), left);
  }

  // left = Y X and the small factor of its QR; their SVD turns both sides.
  void refine(matrix_view<W> x) {
    const index k = x.cols;
    const matrix_view<T> left = packed(out_.left, a_.rows(), k);
    image_of(x, left);
    const std::vector<double> lengths = normalise(left);
    columns<W> held(k, k);
    const matrix_view<W> r = held.view(0, k);
    orthonormalise<T>(left, r, workers_, false, a_.ranks());
    if (!is_triplets(r, lengths)) {
      for (index j = 0; j < k; ++j)
        for (index i = 0; i < k; ++i)
          r(i, j) *= lengths[as_size(j)];
      const small_svd<W> small = decompose_small_as<T>(r, workers_);
      turn_left(left, small);
      turn_right(x, small);
    }
    finish_right(x);
  }

  std::vector<double> normalise(matrix_view<T> z) const {
    std::vector<double> lengths(as_size(z.cols));
    const auto for_columns = [&](auto &&body) {
      parallel_for(
          z.cols, columns_at_once(z.rows),
          [&](index begin, index end, int) {
            for (index j = begin; j < end; ++j)
              body(z.col(j), lengths[as_size(j)]);
          },
          workers_);
    };
    const auto measure = [](vector_view<T> x, double &sum) { sum = squared_norm(x); };
    const auto divide = [](vector_view<T> x, double &length) {
      length = length > 0 ? std::sqrt(length) : 1.0;
      scale(x, static_cast<real_of<T>>(1 / length));
    };
    if (a_.ranks() == nullptr) {
      for_columns([&](vector_view<T> x, double &length) {
        measure(x, length);
        divide(x, length);
      });
      return lengths;
    }
    for_columns(measure);
    sum_over(a_.ranks(), col_major(lengths.data(), z.cols, 1));
    for_columns(divide);
    return lengths;
  }

  // True, with the values kept, when the columns are orthogonal to working precision already.
  bool is_triplets(matrix_view<W> r, const std::vector<double> &lengths) {
    out_.s.clear();
    for (index j = 0; j < r.cols; ++j) {
      for (index i = 0; i < j; ++i)
        if (!(std::abs(r(i, j)) * lengths[as_size(j)] <= 16 * epsilon<T>() * lengths[as_size(i)]))
          return false;
      out_.s.push_back(std::real(r(j, j)) * lengths[as_size(j)]);
      if (!(out_.s.back() > 0) || (j > 0 && out_.s[as_size(j)] > out_.s[as_size(j - 1)]))
        return false;
    }
    return true;
  }

  // left = left u in place; the first out_.rank columns hold the result.
  void turn_left(matrix_view<T> left, const small_svd<W> &small) {
    turn_columns<T>(left, col_major(small.u.data(), small.size, out_.rank), workers_);
  }

  // x = x v, keeping out_.rank columns.
  void turn_right(matrix_view<W> x, const small_svd<W> &small) {
    const index k = small.size, rank = out_.rank;
    out_.s.assign(small.s.begin(), small.s.begin() + rank);
    std::vector<W> held(as_size(x.rows * rank));
    const matrix_view<const W> vt = col_major(small.vt.data(), k, k).block(0, 0, rank, k);
    blas::gemm<W>(blas::transpose::no, blas::transpose::adjoint, W(1), x, vt, W(0),
                  col_major(held.data(), x.rows, rank));
    std::copy(held.begin(), held.end(), x.data);
  }

  // Needs the whole image in memory, whatever the operator.
  void by_qr() {
    const index d = space_.size;
    if (!space_.kept) {
      space_.y = columns<T>(a_.rows(), d);
      if (space_.identity)
        a_.to_dense(y());
      else
        a_.apply(v(), y());
      space_.kept = true;
      count_pass();
    }
    columns<W> held(d, d), right(d, d);
    const matrix_view<W> r = held.view(0, d), x = right.view(0, d);
    orthonormalise<T>(y(), r, workers_, false, a_.ranks());
    const small_svd<W> small = decompose_small(r);
    std::vector<double> squares(small.s);
    for (double &value : squares)
      value *= value;
    out_.total_squared = std::accumulate(squares.begin(), squares.end(), 0.0);
    out_.rank = choose(squares);
    for (index j = 0; j < d; ++j)
      for (index i = 0; i < d; ++i)
        x(i, j) = i == j ? W(1) : W(0);
    turn_left(y(), small);
    const matrix_view<T> left = packed(out_.left, a_.rows(), out_.rank);
    copy(space_.y.view(0, out_.rank), left);
    turn_right(x, small);
    finish_right(right.view(0, out_.rank));
  }

  void finish_right(matrix_view<W> x) {
    const index k = out_.rank;
    keep_residuals(x);
    if (space_.identity) {
      copy(x, packed(out_.right, x.rows, k));
      return;
    }
    columns<T> rounded(x.rows, k);
    copy(x, rounded.view(0, k));
    tall_product<T>(v(), rounded.view(0, k), packed(out_.right, v().rows, k), workers_);
  }

  // A^H u - s v = V_next next x_last / s: known without another product while the rounding of
  // A^H Y, which is eps s_1^2 and comes divided by s, is far below s. That rounding is added.
  void keep_residuals(matrix_view<W> x) {
    const index n = space_.next_rows;
    if (n == 0 || x.cols == 0)
      return;
    const double first = out_.s.front(), last = out_.s.back();
    if (!(last * last > 500 * epsilon<T>() * first * first))
      return;
    columns<W> held(n, x.cols);
    const matrix_view<W> rest = held.view(0, x.cols);
    multiply<W>(col_major<const W>(space_.next.data(), n, n), x.block(x.rows - n, 0, n, x.cols),
                W(0), rest);
    for (index j = 0; j < x.cols; ++j) {
      const double rounding = epsilon<T>() * first * first / out_.s[as_size(j)];
      const double inverse = 1 / out_.s[as_size(j)];
      const double sum = rounding * rounding + squared_norm(rest.col(j)) * inverse * inverse;
      out_.residuals.push_back(std::sqrt(sum / 2));
    }
  }

  const linear_operator<T> &a_;
  subspace<T> &space_;
  const target &wanted_;
  int workers_;
  factors<T> out_;
};

} // namespace

blas::threads threads_for(index size, int workers) {
  return blas::threads(size < threaded_side ? 1 : resolve_workers(workers));
}

index rank_from_tails(const std::vector<double> &squares, const target &wanted, double *tail) {
  index rank = static_cast<index>(squares.size());
  double sum = 0;
  const auto may_drop = [&](double with_next) {
    return rank > wanted.rank ||
           (wanted.tolerance >= 0 && with_next <= wanted.tolerance * wanted.tolerance);
  };
  while (rank > 0 && may_drop(sum + squares[as_size(rank - 1)]))
    sum += squares[as_size(--rank)];
  *tail = sum;
  return rank;
}

index rank_for(const double *squares, index count, const target &wanted) {
  const double allowed = wanted.tolerance * wanted.tolerance;
  double left = wanted.norm_squared;
  for (index rank = 0; rank <= std::min(count, wanted.rank); ++rank) {
    if (left <= allowed)
      return rank;
    if (rank < count)
      left -= squares[rank];
  }
  return count >= wanted.rank ? wanted.rank : -1;
}

template <class T>
factors<T> extract(const linear_operator<T> &a, subspace<T> &space, const target &wanted,
                   int workers) {
  return extraction<T>(a, space, wanted, workers).run(true);
}

template <class T>
factors<T> exact_factors(const linear_operator<T> &a, target &wanted, int workers) {
  subspace<T> whole;
  whole.identity = true;
  whole.kept = false;
  whole.size = a.cols();
  int passes = 0;
  if (wanted.norm_squared < 0 || !a.reads_once()) {
    whole.y = columns<T>(a.rows(), a.cols());
    a.to_dense(whole.y.view(0, whole.size));
    whole.kept = true;
    ++passes;
  }
  if (wanted.norm_squared < 0) {
    double sum = 0;
    for (index j = 0; j < whole.size; ++j)
      sum += squared_norm(whole.y.view(j, j + 1).col(0));
    require(std::isfinite(sum), "A: holds, or leads to, values that are not finite");
    wanted.set_norm(sum);
  }
  const double ratio = wanted.tolerance * wanted.tolerance / wanted.norm_squared;
  const bool fine = wanted.by_spectral_tolerance() &&
                    wanted.spectral_allowance(wanted.norm_squared) < 1e-10 * wanted.norm_squared;
  const bool resolved = (wanted.tolerance < 0 || ratio > 1e-10) && !fine;
  const blas::threads lapack = threads_for(whole.size, workers);
  factors<T> out =
      extraction<T>(a, whole, wanted, workers).run(resolved && whole.size > small_side);
  out.passes += passes;
  return out;
}

#define EF_INSTANTIATE(T)                                                                          \
  template factors<T> extract<T>(const linear_operator<T> &, subspace<T> &, const target &, int);  \
  template factors<T> exact_factors<T>(const linear_operator<T> &, target &, int);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
