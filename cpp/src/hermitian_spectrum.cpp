// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/hermitian_spectrum.hpp>

#include "svd_detail.hpp"
#include "tridiagonal.hpp"
#include "tridiagonal_reduction.hpp"

#include <numeric>
#include <type_traits>

namespace eigenflow::svd {
namespace {

constexpr index share = 2;           // bisection for n / share values takes as long as all in turn
constexpr double single_eps = 1e-10; // far below what single precision leaves of the matrix

} // namespace

template <class W> struct hermitian_spectrum<W>::reduction {
  virtual ~reduction() = default;
  virtual tridiagonal::matrix form() const = 0;
  virtual void turn(matrix_view<W> x, int workers) = 0; // x = Q x
};

template <class W> template <class S> struct hermitian_spectrum<W>::reduction_in final : reduction {
  explicit reduction_in(matrix_view<const W> a) : reduced(a) {}
  tridiagonal::matrix form() const override {
    constexpr bool exact = std::is_same_v<S, W>;
    return {reduced.diagonal, reduced.beside,
            exact ? std::numeric_limits<double>::epsilon() : single_eps};
  }
  void turn(matrix_view<W> x, int workers) override {
    if constexpr (std::is_same_v<S, W>) {
      reduced.turn(x, workers);
    } else {
      columns<S> held(x.rows, x.cols);
      copy(x, held.view(0, x.cols));
      reduced.turn(held.view(0, x.cols), workers);
      copy(held.view(0, x.cols), x);
    }
  }
  tridiagonal_reduction<S> reduced;
};

template <class W>
hermitian_spectrum<W>::hermitian_spectrum(matrix_view<const W> a, bool in_single) : n_(a.rows) {
  using single = std::conditional_t<is_complex<W>, std::complex<float>, float>;
  if (n_ == 0)
    return;
  if (in_single)
    reduced_ = std::make_unique<reduction_in<single>>(a);
  else
    reduced_ = std::make_unique<reduction_in<W>>(a);
}

template <class W> hermitian_spectrum<W>::~hermitian_spectrum() = default;
template <class W>
hermitian_spectrum<W>::hermitian_spectrum(hermitian_spectrum &&) noexcept = default;

template <class W> double hermitian_spectrum<W>::trace() const {
  if (n_ == 0)
    return 0;
  const std::vector<double> &d = reduced_->form().diagonal;
  return std::accumulate(d.begin(), d.end(), 0.0);
}

template <class W> const std::vector<double> &hermitian_spectrum<W>::values() {
  if (static_cast<index>(values_.size()) < n_) {
    values_ = reduced_->form().diagonal;
    std::vector<double> scratch(reduced_->form().beside);
    blas::sterf<double>({values_.data(), n_, 1}, {scratch.data(), n_ - 1, 1});
    std::reverse(values_.begin(), values_.end());
  }
  return values_;
}

template <class W>
const std::vector<double> &hermitian_spectrum<W>::leading_values(index count, int workers) {
  if (static_cast<index>(values_.size()) >= count)
    return values_;
  if (share * count > n_)
    return values();
  return values_ = tridiagonal::leading_values(reduced_->form(), count, workers);
}

template <class W>
matrix_view<const W> hermitian_spectrum<W>::leading_vectors(index count, int workers) {
  const std::size_t wanted = as_size(n_ * count);
  if (vectors_.size() < wanted) {
    columns<double> held(n_, count);
    const matrix_view<double> z = held.view(0, count);
    const tridiagonal::matrix t = reduced_->form();
    if (4 * count > 3 * n_ ||
        !tridiagonal::twisted_vectors(t, leading_values(count, workers), z, workers))
      tridiagonal::all_vectors(t, z);
    std::vector<W> turned;
    const matrix_view<W> x = packed(turned, n_, count);
    copy(z, x);
    reduced_->turn(x, workers);
    vectors_.swap(turned);
  }
  return col_major<const W>(vectors_.data(), n_, count);
}

template class hermitian_spectrum<double>;
template class hermitian_spectrum<std::complex<double>>;

} // namespace eigenflow::svd
