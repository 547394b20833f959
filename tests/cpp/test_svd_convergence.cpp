// SPDX-License-Identifier: BSD-3-Clause
#include "../../cpp/src/svd_convergence.hpp"
#include "blas_fixture.hpp"
#include "check.hpp"
#include "samples.hpp"

#include <eigenflow/hermitian_spectrum.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/svd.hpp>

#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <vector>

namespace svd = eigenflow::svd;
using eigenflow::col_major;
using eigenflow::conjugate;

namespace {

using samples::at;

// A Hermitian band matrix of normal deviates, column-major and whole.
template <class W> std::vector<W> band_matrix(std::int64_t n, std::int64_t width) {
  std::vector<W> a(at(n * n), W(0));
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = std::max<std::int64_t>(0, j - width); i <= j; ++i) {
      double parts[2];
      eigenflow::rng::fill_normals<double>(3, 2 * (j * n + i), 0, col_major(parts, 2, 1), 1);
      W entry(parts[0]);
      if constexpr (eigenflow::is_complex<W>)
        entry = i < j ? W(parts[0], parts[1]) : W(parts[0]);
      a[at(j * n + i)] = entry;
      a[at(i * n + j)] = conjugate(entry);
    }
  return a;
}

template <class W> void check_counts(std::int64_t n, std::int64_t width) {
  const std::vector<W> a = band_matrix<W>(n, width);
  svd::hermitian_spectrum<W> spectrum(col_major(a.data(), n, n));
  const std::vector<double> &values = spectrum.values();
  for (std::int64_t above = 0; above <= n; ++above) {
    const double higher = above > 0 ? values[at(above - 1)] : values[0] + 1;
    const double lower = above < n ? values[at(above)] : values[at(n - 1)] - 1;
    const double between = 0.45 * higher + 0.55 * lower;
    CHECK(svd::count_above<W>(col_major(a.data(), n, n), width, between) == above);
  }
}

} // namespace

TEST(values_above_a_number_are_counted) {
  for (const std::int64_t width : {0, 1, 4, 11})
    for (const std::int64_t n : {1, 2, 12, 30}) {
      check_counts<double>(n, width);
      check_counts<std::complex<double>>(n, width);
    }
  const std::vector<double> zeros(16, 0.0);
  CHECK(svd::count_above<double>(col_major(zeros.data(), 4, 4), 2, 0.0) == 0);
}

// A = diag(a, b) known by its first part: what the leading values of the whole have more than those
// of the part is what is missing, to second order.
TEST(what_is_missing_is_bounded_closely) {
  constexpr std::int64_t n = 12, width = 3;
  std::vector<double> whole(at(n * n), 0.0);
  for (std::int64_t j = 0; j < n; ++j)
    whole[at(j * n + j)] = std::pow(0.5, static_cast<double>(j / width));
  for (std::int64_t j = 0; j < width; ++j)
    for (std::int64_t i = 0; i < width; ++i) {
      const double coupling = 1e-3 * static_cast<double>(1 + i + 2 * j);
      whole[at((n - width + j) * n + n - 2 * width + i)] = coupling;
      whole[at((n - 2 * width + i) * n + n - width + j)] = coupling;
    }
  constexpr std::int64_t size = n - width;
  std::vector<double> part;
  for (std::int64_t j = 0; j < size; ++j)
    part.insert(part.end(), &whole[at(j * n)], &whole[at(j * n)] + size);
  svd::hermitian_spectrum<double> inner(col_major(part.data(), size, size));
  svd::hermitian_spectrum<double> outer(col_major(whole.data(), n, n));
  const auto x = inner.leading_vectors(size);
  std::vector<double> held(at(width * size), 0.0);
  for (std::int64_t j = 0; j < size; ++j)
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t l = 0; l < width; ++l)
        held[at(j * width + i)] +=
            whole[at((n - 2 * width + l) * n + size + i)] * x(size - width + l, j);
  svd::convergence ends;
  ends.look<double>(inner.values(), col_major<const double>(held.data(), width, size), 0.0,
                    {0.125, 0.125});
  double more = 0, sum = 0;
  for (std::int64_t j = 0; j < size; ++j) {
    more += outer.values()[at(j)] - inner.values()[at(j)];
    sum += inner.values()[at(j)];
    CHECK(std::abs(ends.captured(j + 1) - sum) < 1e-14);
    CHECK(ends.coming(j + 1) <= ends.missing(j + 1));
    CHECK(std::isinf(ends.gained(j + 1)));
    if ((j + 1) % width != 0) // equal values share what they gain
      continue;
    CHECK(ends.missing(j + 1) >= 0.99 * more - 1e-15);
    CHECK(ends.missing(j + 1) <= 2 * more + 1e-15);
  }
  CHECK(more > 1e-6);
  ends.look<double>(inner.values(), {}, 0.0, {1.0, 0.75});
  CHECK(ends.gained(2) == 0);
  CHECK(std::isinf(ends.missing(1)) && ends.missing(0) == 0);
}

// The rounding of a residual hides as much as a residual of that size shows.
TEST(rounding_hides_energy) {
  const std::vector<double> residuals(2, 1e-3);
  const svd::block_values newest{0.1, 0.1};
  svd::convergence ends;
  ends.look<double>({1.0, 0.5}, col_major<const double>(residuals.data(), 1, 2), 1e-3, newest);
  CHECK(ends.hidden(2) == ends.missing(2));
  ends.look<double>({1.0, 0.5}, col_major<const double>(residuals.data(), 1, 2), 0.0, newest);
  CHECK(ends.hidden(2) == 0);
  // No bound for a value that does not stand above the newest block.
  ends.look<double>({1.0, 0.1}, col_major<const double>(residuals.data(), 1, 2), 1e-3, newest);
  CHECK(std::isfinite(ends.missing(1)) && std::isinf(ends.missing(2)));
}

TEST(copies_that_may_be_hidden) {
  const std::vector<double> squares{4.0, 1.0, 1.0, 1.0, 0.5, 0.5};
  CHECK(svd::may_hide_copies(squares, 5, 3, 1.0));
  CHECK(!svd::may_hide_copies(squares, 5, 3, 0.9)); // too little is left for one of them
  CHECK(!svd::may_hide_copies(squares, 4, 3, 1.0)); // no smaller one that a copy would replace
  CHECK(!svd::may_hide_copies(squares, 5, 4, 1.0)); // a block has room for more
  CHECK(!svd::may_hide_copies(squares, 6, 2, 0.9));
}

TEST(looks_wait_for_what_is_to_come) {
  const double unknown = std::numeric_limits<double>::infinity();
  svd::pace pace;
  CHECK(pace.blocks_to_wait(unknown, 1.0, 4) == 1);
  CHECK(pace.blocks_to_wait(1000.0, 1.0, 5) == 2);  // by 16 a block: log 1300 / log 16
  CHECK(pace.blocks_to_wait(0.1, 1.0, 7) == 1);     // next to nothing
  CHECK(pace.blocks_to_wait(0.05, 1e-9, 40) == 10); // at most a quarter of the basis
}
