// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/sine.hpp>

#include <algorithm>
#include <cstdint>

using eigenflow::argument_error;
using eigenflow::matrix_view;
using eigenflow::row_major;
namespace sine = eigenflow::sine;

namespace {

// Uniform in [-1, 1).
template <class Real> std::vector<Real> numbers(std::uint64_t key, std::int64_t n) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>(n));
  eigenflow::rng::fill_words(key, 0, 0, row_major(words.data(), 1, n), 1);
  std::vector<Real> out;
  for (const auto word : words)
    out.push_back(static_cast<Real>(word * 0x1p-31 - 1));
  return out;
}

template <class Real> struct problem {
  std::int64_t m, n, k, t;
  std::vector<Real> u = numbers<Real>(1, m *k), v = numbers<Real>(2, n *k),
                    x = numbers<Real>(3, n *t);

  matrix_view<const Real> U() const { return row_major(u.data(), m, k); }
  matrix_view<const Real> V() const { return row_major(v.data(), n, k); }
  matrix_view<const Real> X() const { return row_major(x.data(), n, t); }

  double phase(std::int64_t i, std::int64_t j) const {
    double sum = 0;
    for (std::int64_t l = 0; l < k; ++l)
      sum += static_cast<double>(U()(i, l)) * static_cast<double>(V()(j, l));
    return sum;
  }
};

template <class Real> void check_against_the_formula(bool exact_phase) {
  for (const auto &p :
       {problem<Real>{7, 9, 3, 2}, problem<Real>{70, 200, 8, 5}, problem<Real>{3, 5, 600, 1},
        problem<Real>{0, 4, 2, 2}, problem<Real>{4, 0, 2, 2}, problem<Real>{4, 5, 0, 2}}) {
    const sine::options opts{2.5, 3, exact_phase, 2};
    const double tolerance = sine::phase_accuracy<Real>(p.U(), p.V(), opts).error_bound / 3;
    std::vector<Real> w(static_cast<std::size_t>(p.m * p.n)),
        y(static_cast<std::size_t>(p.m * p.t), Real(9));
    const auto W = row_major(w.data(), p.m, p.n), Y = row_major(y.data(), p.m, p.t);
    sine::entries<Real>(p.U(), p.V(), W, opts);
    sine::apply<Real>(p.U(), p.V(), p.X(), Y, opts);
    for (std::int64_t i = 0; i < p.m; ++i) {
      std::vector<double> want(static_cast<std::size_t>(p.t));
      for (std::int64_t j = 0; j < p.n; ++j) {
        CHECK_CLOSE(W(i, j), std::sin(2.5 * p.phase(i, j)) / 3, tolerance);
        for (std::int64_t t = 0; t < p.t; ++t)
          want[static_cast<std::size_t>(t)] +=
              static_cast<double>(W(i, j)) * static_cast<double>(p.X()(j, t));
      }
      for (std::int64_t t = 0; t < p.t; ++t)
        CHECK_CLOSE(Y(i, t), want[static_cast<std::size_t>(t)], sizeof(Real) == 4 ? 1e-5 : 1e-13);
    }
  }
}

// Enough anchors, and a high enough order, give the products of the fused tiles.
template <class Real> void check_expansions(Real tolerance) {
  for (const auto &p : {problem<Real>{70, 300, 1, 3}, problem<Real>{9, 40, 2, 40},
                        problem<Real>{5, 0, 1, 2}, problem<Real>{0, 5, 3, 1}}) {
    const sine::options opts{0.7, 3, false, 2};
    std::vector<Real> want(static_cast<std::size_t>(p.m * p.t)), anchors(want), taylor(want);
    const auto view = [&](std::vector<Real> &y) { return row_major(y.data(), p.m, p.t); };
    sine::apply<Real>(p.U(), p.V(), p.X(), view(want), opts);
    const auto k = static_cast<std::size_t>(p.k);
    const sine::anchor_grid grid{std::vector<std::int64_t>(k, 16), std::vector<double>(k, 1.0)};
    sine::apply_anchors<Real>(p.U(), p.V(), p.X(), view(anchors), grid, opts);
    sine::apply_taylor<Real>(p.U(), p.V(), p.X(), view(taylor), 13, opts);
    for (std::size_t i = 0; i < want.size(); ++i) {
      CHECK_CLOSE(anchors[i], want[i], tolerance);
      CHECK_CLOSE(taylor[i], want[i], tolerance);
    }
  }
}

} // namespace

TEST(float_entries_and_products_follow_the_formula) {
  check_against_the_formula<float>(false);
  check_against_the_formula<float>(true);
}
TEST(double_entries_and_products_follow_the_formula) {
  check_against_the_formula<double>(false);
  check_against_the_formula<double>(true);
}

TEST(any_number_of_workers_and_any_layout_give_the_same_bytes) {
  const problem<float> p{500, 300, 4, 3};
  std::vector<float> one(1500), many(1500), columns(1500);
  sine::apply<float>(p.U(), p.V(), p.X(), row_major(one.data(), 500, 3), {9, 1, false, 1});
  for (const int workers : {2, 3, 7}) {
    sine::apply<float>(p.U(), p.V(), p.X(), row_major(many.data(), 500, 3), {9, 1, false, workers});
    CHECK(one == many);
  }
  const auto by_columns = eigenflow::col_major(columns.data(), 500, 3);
  sine::apply<float>(p.U(), p.V(), p.X(), by_columns, {9, 1, false, 2});
  for (std::int64_t i = 0; i < 500; ++i)
    CHECK(by_columns(i, 2) == one[static_cast<std::size_t>(3 * i + 2)]);
}

TEST(the_transposed_product_uses_the_very_entries) {
  const problem<double> p{60, 110, 3, 1};
  const sine::options opts{40, 1, false, 1};
  std::vector<double> w(60 * 110), unit(60), row(110);
  sine::entries<double>(p.U(), p.V(), row_major(w.data(), 60, 110), opts);
  unit[17] = 1;
  sine::apply_transposed<double>(p.U(), p.V(), row_major<const double>(unit.data(), 60, 1),
                                 row_major(row.data(), 110, 1), opts);
  CHECK(std::equal(row.begin(), row.end(), w.begin() + 17 * 110));
}

TEST(exact_phases_survive_a_hundred_thousand_half_turns) {
  // u v = 1e5 + 1/4 exactly, times omega = pi: sin is sin(pi / 4) up to the rounding of pi.
  const float u = 400001, v = 0.25f;
  const double omega = 3.14159265358979323846;
  const auto U = row_major(&u, 1, 1), V = row_major(&v, 1, 1);
  float exact = 0, plain = 0;
  sine::entries<float>(U, V, row_major(&exact, 1, 1), {omega, 1, true, 1});
  CHECK_CLOSE(exact, std::sqrt(0.5), 3e-7);
  const float big[2] = {1e5f, 0.3f}, one[2] = {1.1f, 0.7f};
  const auto B = row_major(big, 1, 2), O = row_major(one, 1, 2);
  const double want = std::sin(omega * (double{big[0]} * double{one[0]} + double{big[1]} * 0.7f));
  sine::entries<float>(B, O, row_major(&exact, 1, 1), {omega, 1, true, 1});
  sine::entries<float>(B, O, row_major(&plain, 1, 1), {omega, 1, false, 1});
  CHECK_CLOSE(exact, want, 1e-6);
  CHECK(std::abs(plain - want) > 1e-4);
}

TEST(the_bound_tells_about_overflow) {
  const float u = 1e30f, v = 1e-30f, big = 1e38f;
  const auto U = row_major(&u, 1, 1), V = row_major(&v, 1, 1), B = row_major(&big, 1, 1);
  CHECK(!sine::phase_accuracy<float>(V, V, {1e20, 1, false, 1}).overflows);
  CHECK(sine::phase_accuracy<float>(U, V, {1e20, 1, false, 1}).overflows);
  CHECK(sine::phase_accuracy<float>(B, B, {1, 1, false, 1}).overflows);
}

TEST(a_long_product_notices_the_interrupt_hook) {
  const problem<float> p{256, 4000000, 1, 1};
  std::vector<float> y(256);
  eigenflow::set_interrupt_hook([] { return true; });
  CHECK_THROWS(
      sine::apply<float>(p.U(), p.V(), p.X(), row_major(y.data(), 256, 1), {1, 1, false, 2}),
      eigenflow::interrupted);
  eigenflow::set_interrupt_hook(nullptr);
}

TEST(wrong_arguments_are_refused) {
  const problem<double> p{3, 4, 2, 1};
  std::vector<double> y(3);
  const auto Y = row_major(y.data(), 3, 1);
  CHECK_THROWS(sine::apply<double>(p.U(), p.X(), p.X(), Y, {}), argument_error);
  CHECK_THROWS(sine::apply<double>(p.U(), p.V(), p.U(), Y, {}), argument_error);
  CHECK_THROWS(sine::apply<double>(p.U(), p.V(), p.X(), Y, {1, 0, false, 1}), argument_error);
  CHECK_THROWS(sine::apply<double>(p.U(), p.V(), p.X(), Y, {INFINITY, 1, false, 1}),
               argument_error);
  CHECK_THROWS(sine::entries<double>(p.U(), p.V(), Y, {}), argument_error);
}
TEST(expansions_are_the_sine) {
  check_expansions<float>(2e-5F);
  check_expansions<double>(1e-9);
}
TEST(grids_and_orders_that_are_refused) {
  const problem<double> p{2, 3, 1, 1};
  std::vector<double> y(2);
  const auto Y = row_major(y.data(), 2, 1);
  CHECK_THROWS(sine::apply_anchors<double>(p.U(), p.V(), p.X(), Y, {{3}, {1.0}}, {}),
               argument_error);
  CHECK_THROWS(sine::apply_taylor<double>(p.U(), p.V(), p.X(), Y, 2, {}), argument_error);
}
