// SPDX-License-Identifier: BSD-3-Clause
// The driver: which way to go, how large the error is, which sign a vector has.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

namespace eigenflow::svd {
namespace {

template <class T> factors<T> unit_vectors(const linear_operator<T> &a, index rank) {
  const index rows = a.rows(), cols = a.cols(), first = a.first_row();
  factors<T> out;
  out.rank = rank;
  out.s.assign(as_size(rank), 0.0);
  out.residuals.assign(as_size(rank), 0.0);
  out.left.assign(as_size(rows * rank), T(0));
  out.right.assign(as_size(cols * rank), T(0));
  const matrix_view<T> left = packed(out.left, rows, rank), right = packed(out.right, cols, rank);
  for (index j = 0; j < rank; ++j) {
    if (j >= first && j < first + rows)
      left(j - first, j) = T(1);
    right(j, j) = T(1);
  }
  return out;
}

template <class T> class decomposition {
public:
  decomposition(const linear_operator<T> &a, const options &options)
      : a_(a), options_(options), m_(a.rows()), n_(a.cols()), all_(a.all_rows()),
        smaller_(std::min(all_, n_)), wanted_(target_of<T>(a, options)) {}

  result<T> run() {
    if (smaller_ == 0)
      wanted_.set_norm(0);
    else if (wanted_.rank == 0 && wanted_.norm_squared < 0)
      estimate_norm();
    const bool nothing = wanted_.tolerance >= 0 && wanted_.tolerance >= norm();
    if (wanted_.rank == 0 || wanted_.norm_squared == 0 || smaller_ == 0 ||
        (nothing && wanted_.norm_squared >= 0))
      factors_ = unit_vectors<T>(a_, nothing ? 0 : wanted_.rank);
    else
      find_factors();
    publish();
    find_error();
    if (out_.residuals.empty())
      find_residuals();
    finish();
    return std::move(out_);
  }

private:
  double norm() const { return std::sqrt(std::max(wanted_.norm_squared, 0.0)); }

  void find_factors() {
    if (options_.one_pass)
      return by_one_pass();
    refuse_unresolvable<T>(wanted_, a_);
    const bool tall = all_ >= n_;
    std::unique_ptr<linear_operator<T>> adjoint;
    if (!tall)
      adjoint = a_.adjoint();
    const linear_operator<T> &along = tall ? a_ : *adjoint;
    if (options_.power_iterations >= 0 && by_iteration())
      return;
    if (options_.power_iterations < 0 && !exact_is_cheaper() && by_krylov(along, tall))
      return;
    const double estimate = wanted_.norm_squared;
    if (a_.frobenius_norm() < 0)
      wanted_.norm_squared = -1;
    wanted_.chosen = -1;
    wanted_.certified = -1;
    factors_ = exact_factors(along, wanted_, options_.workers);
    if (estimate != wanted_.norm_squared)
      refuse_unresolvable<T>(wanted_, a_);
    estimated_ = false;
    out_.looks = 0;
    out_.route = method::exact;
    out_.passes += factors_.passes;
    orient(tall);
  }

  bool exact_is_cheaper() const {
    const bool in_memory = a_.reads_once() && !a_.is_streamed();
    return wanted_.exact_is_cheaper() || (in_memory && wanted_.gram_is_cheaper(std::max(all_, n_)));
  }

  bool by_krylov(const linear_operator<T> &along, bool tall) {
    subspace<T> space;
    estimated_ = wanted_.norm_squared < 0;
    const bool enough =
        build_krylov(along, wanted_, options_.key, options_.workers, space, out_.looks);
    out_.passes += space.passes;
    if (!enough)
      return false;
    factors_ = extract(along, space, wanted_, options_.workers);
    out_.route = method::krylov;
    out_.passes += factors_.passes;
    orient(tall);
    return true;
  }

  // Nothing is known of single triplets: that would take another product.
  void by_one_pass() {
    require(wanted_.by_rank() && !wanted_.spectral,
            "one_pass: wants a rank and the Frobenius norm");
    double norm_squared = 0;
    factors_ = one_pass_factors(a_, wanted_, options_.key, options_.workers, norm_squared,
                                one_pass_error_);
    if (wanted_.norm_squared < 0)
      wanted_.set_norm(norm_squared);
    factors_.residuals.assign(as_size(factors_.rank), std::numeric_limits<double>::quiet_NaN());
    out_.route = method::one_pass;
    out_.passes = a_.reads_once() ? 1 : 2;
  }

  // Subspace iteration as Halko, Martinsson and Tropp (2011) have it; with a tolerance, the sample
  // doubles until the tail is within it.
  bool by_iteration() {
    if (wanted_.below_floor())
      return false;
    index size = wanted_.by_rank() ? wanted_.rank : 32;
    size += std::min(wanted_.oversampling, smaller_ - std::min(size, smaller_));
    for (size = std::min(size, smaller_);; size = std::min(smaller_, 2 * size)) {
      subspace<T> space;
      const double left = build_subspace(a_, size, options_.power_iterations, options_.key,
                                         options_.workers, space);
      out_.passes += space.passes;
      left_out_ = left;
      if (a_.frobenius_norm() < 0)
        estimate_norm(space);
      if (wanted_.by_spectral_tolerance())
        wanted_.chosen = std::min(size, wanted_.rank);
      const std::unique_ptr<linear_operator<T>> adjoint = a_.adjoint();
      factors_ = extract(*adjoint, space, wanted_, options_.workers);
      if (wanted_.by_spectral_tolerance()) {
        if (cut_to_spectral_tolerance(*adjoint, space) || size == smaller_)
          break;
        continue;
      }
      if (wanted_.by_rank() || size == smaller_ || factors_.rank < size - wanted_.oversampling)
        break;
    }
    out_.route = method::subspace;
    orient(false);
    return true;
  }

  // With Q the basis and B = Q^H A, ||A - Q B_k||^2 <= s_{k+1}(B)^2 + ||A - Q B||^2.
  bool cut_to_spectral_tolerance(const linear_operator<T> &adjoint, subspace<T> &space) {
    const double outside = outside_bound<T>(adjoint, space.v.view(0, space.size), options_.key,
                                            options_.workers, out_.passes);
    ++out_.looks;
    const double first = factors_.rank > 0 ? factors_.s[0] : 0.0;
    const double allowed = wanted_.spectral_allowance(first * first) - outside * outside;
    index rank = 0;
    while (rank < factors_.rank && factors_.s[as_size(rank)] * factors_.s[as_size(rank)] > allowed)
      ++rank;
    if (rank == factors_.rank)
      return rank == wanted_.rank && allowed > 0;
    const double next = factors_.s[as_size(rank)];
    wanted_.certified = next * next + outside * outside;
    factors_.left.resize(as_size(adjoint.rows() * rank));
    factors_.right.resize(as_size(adjoint.cols() * rank));
    factors_.s.resize(as_size(rank));
    factors_.rank = rank;
    return true;
  }

  // The norm from the range: its own energy, and an estimate of what it leaves out.
  void estimate_norm(subspace<T> &space) {
    double inside = 0;
    for (index j = 0; j < space.size; ++j)
      inside += squared_norm(space.y.view(j, j + 1).col(0));
    estimated_ = space.size < smaller_;
    if (!estimated_) {
      wanted_.set_norm(inside);
    } else if (left_out_ < 0) {
      norm_probe<T> probe(a_, options_.key, options_.workers);
      probe.remove_range(space.v.view(0, space.size));
      wanted_.set_norm(inside + probe.energy());
      ++out_.looks;
      ++out_.passes;
    } else {
      wanted_.set_norm(inside + left_out_);
    }
  }

  void estimate_norm() {
    norm_probe<T> probe(a_, options_.key, options_.workers);
    wanted_.set_norm(probe.energy());
    estimated_ = true;
    out_.looks = 1;
    ++out_.passes;
  }

  void orient(bool as_is) {
    if (!as_is)
      factors_.left.swap(factors_.right);
  }

  void publish() {
    out_.rank = factors_.rank;
    out_.u.swap(factors_.left);
    out_.vh.swap(factors_.right); // columns of V until finish()
    for (const double value : factors_.s)
      out_.s.push_back(static_cast<real_of<T>>(value));
    for (const double value : factors_.residuals)
      out_.residuals.push_back(static_cast<real_of<T>>(value));
    fix_signs(u(), v(), options_.workers);
  }

  void find_spectral_error() {
    if (wanted_.norm_squared != 0 && factors_.next_value >= 0) {
      out_.kind = error_kind::next_value;
      out_.error = factors_.next_value;
    } else if (wanted_.norm_squared != 0) {
      out_.kind = error_kind::power_bound;
      out_.looks = std::max(out_.looks, 1);
      out_.error = wanted_.certified >= 0
                       ? std::sqrt(wanted_.certified)
                       : residual_bound<T>(a_, u(), factors_.s.data(), v(), options_.key,
                                           options_.workers, out_.passes);
    }
    out_.norm = factors_.s.empty() ? out_.error : factors_.s.front();
  }

  void find_error() {
    if (wanted_.spectral)
      return find_spectral_error();
    const bool left_out = estimated_ && left_out_ >= 0;
    double left = factors_.tail_squared;
    if (left < 0) {
      left = wanted_.norm_squared;
      for (const double value : factors_.s)
        left -= value * value;
    }
    if (estimated_)
      out_.kind = left_out ? error_kind::leave_one_out : error_kind::hold_out;
    if (out_.route == method::one_pass) {
      out_.kind = error_kind::hold_out;
      out_.looks = 1;
      out_.error = std::sqrt(one_pass_error_);
    } else if (wanted_.norm_squared == 0 || out_.rank == 0) {
      out_.error = norm();
    } else if (left >= wanted_.floor * wanted_.norm_squared) {
      out_.error = std::sqrt(left);
    } else if (left_out) {
      out_.kind = error_kind::leave_one_out;
      out_.error = std::sqrt(left_out_ + std::max(0.0, discarded()));
    } else {
      out_.kind = error_kind::hold_out;
      out_.looks = 1;
      out_.error = std::sqrt(
          residual_energy<T>(a_, u(), factors_.s.data(), v(), options_.key, options_.workers));
      ++out_.passes;
    }
    out_.norm = norm();
  }

  // Energy of the sketch beyond the rank.
  double discarded() const {
    double sum = factors_.total_squared;
    for (const double value : factors_.s)
      sum -= value * value;
    // A difference of squares of the first value: below its rounding there is nothing to see.
    return sum > 64 * epsilon<double>() * factors_.total_squared ? sum : 0.0;
  }

  matrix_view<T> u() { return packed(out_.u, m_, out_.rank); }
  matrix_view<T> v() { return packed(out_.vh, n_, out_.rank); }

  // U and s come from the product A V, so that A v = s u to rounding on every way but subspace
  // iteration, which has A^H u = s v: one product is enough for the other side. The rounding is
  // that of the products.
  void find_residuals() {
    const index k = out_.rank;
    out_.residuals.resize(as_size(k));
    if (k == 0)
      return;
    const bool right_known = out_.route == method::subspace || all_ < n_;
    const index rows = right_known ? m_ : n_;
    columns<T> held(rows, k);
    const matrix_view<T> image = held.view(0, k), same = right_known ? u() : v();
    if (right_known)
      a_.apply(v(), image);
    else
      a_.apply_adjoint(u(), image);
    ++out_.passes;
    const double rounding = epsilon<T>() * norm();
    for (index j = 0; j < k; ++j) {
      const real_of<T> s = out_.s[as_size(j)];
      for (index i = 0; i < rows; ++i)
        image(i, j) -= s * same(i, j);
      const double sum = squared_norm(image.col(j)) + rounding * rounding;
      out_.residuals[as_size(j)] = static_cast<real_of<T>>(std::sqrt(sum / 2));
    }
  }

  // Rows of V^H, in the units of the user's matrix.
  void finish() {
    if constexpr (is_complex<T>)
      for (T &entry : out_.vh)
        entry = std::conj(entry);
    const double back = 1 / a_.scale();
    for (real_of<T> &value : out_.s)
      value = static_cast<real_of<T>>(static_cast<double>(value) * back);
    for (real_of<T> &value : out_.residuals)
      value = static_cast<real_of<T>>(static_cast<double>(value) * back);
    out_.error *= back;
    out_.norm *= back;
  }

  const linear_operator<T> &a_;
  const options &options_;
  index m_, n_, all_, smaller_; // rows here, columns, rows in all
  target wanted_;
  factors<T> factors_;
  double one_pass_error_ = 0; // squared
  bool estimated_ = false;    // the norm
  double left_out_ = -1;      // leave-one-out estimate of what a plain sketch leaves, squared
  result<T> out_;
};

} // namespace

template <class T> result<T> decompose(const linear_operator<T> &a, const options &options) {
  return decomposition<T>(a, options).run();
}

template <class T>
result<T> decompose(matrix_view<const T> a, const magnitude &size, const options &options) {
  require(size.finite, "A: want finite values");
  return decomposition<T>(dense_operator<T>(a, size, options.workers), options).run();
}

#define EF_INSTANTIATE(T)                                                                          \
  template result<T> decompose<T>(const linear_operator<T> &, const options &);                    \
  template result<T> decompose<T>(matrix_view<const T>, const magnitude &, const options &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
