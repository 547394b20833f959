// SPDX-License-Identifier: BSD-3-Clause
// What is asked for, held against what the precision can see.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

#include <sstream>
#include <string>

namespace eigenflow::svd {

double target::least_norm() const {
  const double norm = std::sqrt(std::max(norm_squared, 0.0));
  return spectral ? norm / std::sqrt(static_cast<double>(short_side)) : norm;
}

double target::least_allowance() const {
  return spectral ? std::max(absolute_limit, std::max(relative_limit, 0.0) * least_norm())
                  : tolerance;
}

bool target::below_floor() const {
  if (norm_squared < 0)
    return relative_limit >= 0 && absolute_limit < 0 && relative_limit * relative_limit < floor;
  const double allowed = least_allowance() * least_allowance();
  return !by_rank() && allowed < floor * least_norm() * least_norm();
}

namespace {

double krylov_columns(const target &wanted) {
  if (!wanted.by_rank())
    return 100;
  const auto least = static_cast<double>(wanted.rank + wanted.oversampling);
  return std::max(1.4 * static_cast<double>(wanted.rank) + 100, least);
}

} // namespace

bool target::exact_is_cheaper() const {
  return below_floor() || krylov_columns(*this) > 0.45 * static_cast<double>(short_side);
}

// The operations of Krylov are those of two products with A and of the projections. Those of the
// other way are a Gram matrix, half of which is mirrored, its eigenvectors, and one product.
bool target::gram_is_cheaper(index long_side) const {
  const double n = static_cast<double>(short_side), m = static_cast<double>(long_side);
  const double basis = krylov_columns(*this), k = by_rank() ? static_cast<double>(rank) : 0;
  const double krylov = 4 * m * n * basis + 6 * n * basis * basis + 10 * basis * basis * basis;
  return m * n * (n + 64) + 8 * n * n * n + 2 * m * n * k < krylov;
}

template <class T> target target_of(const linear_operator<T> &a, const options &options) {
  const index short_side = std::min(a.all_rows(), a.cols());
  const double norm = a.frobenius_norm();
  require(!(norm >= 0) || std::isfinite(norm), "A: its Frobenius norm is not finite");
  require(options.rank >= -1 && options.rank <= short_side,
          "rank: got " + std::to_string(options.rank) + ", want 0 to " +
              std::to_string(short_side));
  require(options.oversampling >= 0, "oversampling: got " + std::to_string(options.oversampling) +
                                         ", want a non-negative number");
  target wanted{options.rank,
                options.tolerance < 0 ? -1 : options.tolerance * a.scale(),
                options.relative_tolerance,
                std::min(options.oversampling, short_side),
                energy_floor<T>(),
                options.spectral};
  wanted.short_side = short_side;
  if (options.rank < 0)
    wanted.rank = short_side;
  if (norm >= 0)
    wanted.set_norm(norm * norm);
  return wanted;
}

template <class T> double resolvable_tolerance(index rows, index cols) {
  return 8 * epsilon<T>() *
         std::sqrt(static_cast<double>(std::max<index>(1, std::min(rows, cols))));
}

template <class T> void refuse_unresolvable(const target &wanted, const linear_operator<T> &a) {
  const double limit = resolvable_tolerance<T>(a.all_rows(), a.cols()), least = wanted.least_norm();
  if (wanted.by_rank() || wanted.norm_squared < 0 || wanted.least_allowance() >= limit * least)
    return;
  const bool relative = wanted.absolute_limit < 0;
  std::ostringstream message;
  message << (relative ? "relative_tolerance: got " : "tolerance: got ")
          << (relative ? wanted.relative_limit : wanted.absolute_limit / a.scale())
          << ", want at least " << (relative ? limit : limit * least / a.scale())
          << ": this precision resolves no less for this A";
  throw argument_error(message.str());
}

#define EF_INSTANTIATE(T)                                                                          \
  template target target_of<T>(const linear_operator<T> &, const options &);                       \
  template double resolvable_tolerance<T>(index, index);                                           \
  template void refuse_unresolvable<T>(const target &, const linear_operator<T> &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
