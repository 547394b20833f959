// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/flow.hpp>

#include <cstdint>
#include <limits>
#include <string>

namespace flow = eigenflow::flow;
using eigenflow::row_major;

namespace {

struct problem {
  std::vector<double> z, lambda, b0;
  std::int64_t rows, cols;

  problem(std::int64_t n_rows, std::int64_t n_cols) : rows(n_rows), cols(n_cols) {
    for (std::int64_t i = 0; i < rows * cols; ++i) {
      z.push_back(std::sin(1.0 + static_cast<double>(i)));
      lambda.push_back(std::pow(1.0 + static_cast<double>(i), -1.5));
      b0.push_back(0.4);
    }
  }
  flow::coordinates<double> in() const {
    return {row_major(z.data(), rows, cols), row_major(lambda.data(), rows, cols),
            row_major(b0.data(), rows, cols)};
  }
};

const std::vector<double> times{7.0, 0.0, 1.5, std::numeric_limits<double>::infinity()};
eigenflow::vector_view<const double> view(const std::vector<double> &v) {
  return {v.data(), static_cast<std::int64_t>(v.size()), 1};
}

} // namespace

TEST(thirty_digit_values) {
  const double z[] = {0.5, 0.5}, lambda[] = {1e-4, 1e-4}, b0[] = {0.3, 0.3};
  const flow::coordinates<double> in{row_major(z, 1, 2), row_major(lambda, 1, 2),
                                     row_major(b0, 1, 2)};
  double theta[2];
  flow::solve({0, flow::coupling::shared, 1}, in, view({30.0}), theta);
  CHECK_CLOSE(theta[0], .49999999906433141, 1e-15);
  flow::solve({1, flow::coupling::shared, 1}, in, view({30.0}), theta);
  CHECK_CLOSE(theta[1], .28306046672084099, 1e-14);
  flow::solve({2, flow::coupling::shared, 1}, in, view({60.0}), theta);
  CHECK_CLOSE(theta[0], 6.4130532813339158e-4, 1e-17);
}

TEST(fields_agree_with_each_other_at_every_depth) {
  const problem p(3, 211);
  const std::size_t size = times.size() * p.z.size();
  for (int depth = 0; depth <= flow::max_depth; ++depth)
    for (const auto factors : {flow::coupling::shared, flow::coupling::separate}) {
      std::vector<double> theta(size), residual(size), a(size), b(size), beta(size), learned(size),
          gradient(size), alone(size);
      const flow::options opts{depth, factors, 2};
      flow::evolve(opts, p.in(), view(times),
                   flow::fields<double>{theta.data(), residual.data(), a.data(), b.data(),
                                        beta.data(), learned.data(), gradient.data(), nullptr,
                                        nullptr, nullptr});
      flow::solve(opts, p.in(), view(times), alone.data());
      CHECK(theta == alone);
      const double rate = factors == flow::coupling::shared ? depth : 1;
      for (std::size_t i = 0; i < size; ++i) {
        const double product = a[i] * std::pow(b[i], depth);
        CHECK_CLOSE(product * beta[i], theta[i], 1e-13);
        CHECK_CLOSE(product * product, learned[i], 1e-13);
        CHECK_CLOSE(theta[i] + residual[i], p.z[i % p.z.size()], 1e-15);
        CHECK_CLOSE(a[i] * a[i] - beta[i] * beta[i], p.lambda[i % p.z.size()], 1e-13);
        if (depth > 0)
          CHECK_CLOSE(b[i] * b[i] - rate * beta[i] * beta[i], 0.16, 1e-13);
      }
      for (std::size_t j = 0; j < p.z.size(); ++j) {
        CHECK(theta[p.z.size() + j] == 0);
        CHECK(theta[3 * p.z.size() + j] == p.z[j]);
        CHECK_CLOSE(gradient[3 * p.z.size() + j], 1, 1e-13);
      }
    }
}

TEST(derivatives_are_slopes) {
  const double h = 1e-6;
  for (const int depth : {0, 1, 4}) {
    const flow::options opts{depth, flow::coupling::separate, 1};
    const problem p(1, 40);
    std::vector<double> d_z(40), d_lambda(40), d_b0(40), d_t(40);
    flow::fields<double> wanted;
    wanted.d_z = d_z.data();
    wanted.d_eigenvalues = d_lambda.data();
    wanted.d_b0 = d_b0.data();
    wanted.d_times = d_t.data();
    flow::evolve(opts, p.in(), view({3.0}), wanted);
    const auto check = [&](const std::vector<double> &slope, auto &&move) {
      problem up = p, down = p;
      double later = 3, earlier = 3;
      move(up, later, h);
      move(down, earlier, -h);
      std::vector<double> high(40), low(40);
      flow::solve(opts, up.in(), view({later}), high.data());
      flow::solve(opts, down.in(), view({earlier}), low.data());
      for (std::size_t j = 0; j < 40; ++j)
        CHECK_CLOSE(slope[j], (high[j] - low[j]) / (2 * h), 1e-8);
    };
    const auto add = [](std::vector<double> &v, double step) {
      for (double &x : v)
        x += step;
    };
    check(d_z, [&](problem &q, double &, double step) { add(q.z, step); });
    check(d_lambda, [&](problem &q, double &, double step) { add(q.lambda, step); });
    check(d_b0, [&](problem &q, double &, double step) { add(q.b0, step); });
    check(d_t, [&](problem &, double &t, double step) { t += step; });
  }
}

TEST(sure_sums_rows_of_a_broadcast_problem) {
  const problem p(4, 700);
  const double variance = 0.25;
  const eigenflow::matrix_view<const double> noise{&variance, 4, 700, 0, 0};
  for (const int depth : {0, 2}) {
    const flow::options opts{depth, flow::coupling::shared, 3};
    std::vector<double> risk(8), residual(2 * 2800), gradient(2 * 2800);
    flow::sure(opts, p.in(), noise, view({2.0, 5.0}), row_major(risk.data(), 2, 4));
    flow::fields<double> wanted;
    wanted.residual = residual.data();
    wanted.d_z = gradient.data();
    flow::evolve(opts, p.in(), view({2.0, 5.0}), wanted);
    for (std::size_t row = 0; row < 8; ++row) {
      double sum = 0;
      for (std::size_t j = row * 700; j < (row + 1) * 700; ++j)
        sum += residual[j] * residual[j] + variance * (2 * gradient[j] - 1);
      CHECK_CLOSE(risk[row], sum, 1e-12);
    }
  }
}

TEST(expected_risk_is_the_mean_over_the_noise) {
  const problem p(4, 70);
  const double variance = 0.01;
  const eigenflow::matrix_view<const double> noise{&variance, 4, 70, 0, 0};
  for (const int depth : {0, 2}) {
    const flow::options opts{depth, flow::coupling::shared, 3};
    std::vector<double> risk(8), want(8), theta(2 * 280);
    flow::expected_risk(opts, p.in(), noise, view({2.0, 5.0}), 1e-8, row_major(risk.data(), 2, 4));
    double weights = 0;
    for (double xi = -8; xi <= 8; xi += 0.0625) {
      problem noisy = p;
      for (double &z : noisy.z)
        z += 0.1 * xi;
      flow::solve(opts, noisy.in(), view({2.0, 5.0}), theta.data());
      weights += std::exp(-xi * xi / 2);
      for (std::size_t i = 0; i < theta.size(); ++i)
        want[i / 70] += std::exp(-xi * xi / 2) * std::pow(theta[i] - p.z[i % 280], 2);
    }
    for (std::size_t row = 0; row < 8; ++row)
      CHECK_CLOSE(risk[row], want[row] / weights, 1e-8);
    CHECK_THROWS(
        flow::expected_risk(opts, p.in(), noise, view({2.0}), 0.0, row_major(risk.data(), 1, 4)),
        eigenflow::argument_error);
  }
}

TEST(float_is_double_rounded) {
  const problem p(1, 300);
  std::vector<float> z(p.z.begin(), p.z.end()), lambda(p.lambda.begin(), p.lambda.end());
  std::vector<float> b0(300, 0.5f), theta(300);
  const std::vector<double> wide_z(z.begin(), z.end()), wide_lambda(lambda.begin(), lambda.end());
  const std::vector<double> wide_b0(300, 0.5);
  std::vector<double> wide(300);
  for (const int depth : {0, 3}) {
    const flow::options opts{depth, flow::coupling::shared, 1};
    flow::solve<float>(opts,
                       {row_major<const float>(z.data(), 1, 300),
                        row_major<const float>(lambda.data(), 1, 300),
                        row_major<const float>(b0.data(), 1, 300)},
                       view({4.0}), theta.data());
    flow::solve<double>(opts,
                        {row_major(wide_z.data(), 1, 300), row_major(wide_lambda.data(), 1, 300),
                         row_major(wide_b0.data(), 1, 300)},
                        view({4.0}), wide.data());
    for (std::size_t j = 0; j < 300; ++j)
      CHECK(theta[j] == static_cast<float>(wide[j]));
  }
}

TEST(wrong_arguments_are_named) {
  const problem p(1, 4);
  double theta[4];
  const auto solve = [&](int depth, double t) {
    flow::solve({depth, flow::coupling::shared, 1}, p.in(), view({t}), theta);
  };
  CHECK_THROWS(solve(9, 1.0), eigenflow::argument_error);
  CHECK_THROWS(solve(-1, 1.0), eigenflow::argument_error);
  CHECK_THROWS(solve(0, -1.0), eigenflow::argument_error);
  CHECK_THROWS(solve(0, std::nan("")), eigenflow::argument_error);
}

TEST(hitting_times_are_where_the_flow_arrives) {
  const problem p(3, 70);
  const std::vector<double> fractions{0.9, 0.0, 0.25, 1.0};
  for (int depth : {0, 2}) {
    flow::options opts;
    opts.depth = depth;
    std::vector<double> hit(4 * 210), theta(210);
    flow::hitting_time(opts, p.in(), view(fractions), hit.data());
    for (std::size_t j = 0; j < 210; j += 13) {
      CHECK(hit[210 + j] == 0);
      CHECK(std::isinf(hit[3 * 210 + j]));
      for (std::size_t k : {0u, 2u}) {
        const std::vector<double> t{hit[k * 210 + j]};
        flow::solve(opts, p.in(), view(t), theta.data());
        CHECK(std::abs(theta[j] / p.z[j] - fractions[k]) < 1e-12);
      }
    }
  }
}

TEST(descent_follows_the_flow_and_names_its_divergence) {
  problem p(2, 100);
  const std::vector<std::int64_t> record{4000, 0};
  const std::vector<double> t{4.0, 0.0};
  flow::options opts;
  opts.depth = 1;
  std::vector<double> theta(400), exact(400);
  flow::fields<double> out;
  out.theta = theta.data();
  const eigenflow::vector_view<const std::int64_t> steps{record.data(), 2, 1};
  flow::descend(opts, p.in(), 0.001, 4000, steps, out);
  flow::solve(opts, p.in(), view(t), exact.data());
  for (std::size_t i = 0; i < 400; ++i)
    CHECK(std::abs(theta[i] - exact[i]) < 2e-3);
  p.z[137] = 1e3;
  bool named = false;
  try {
    flow::descend(opts, p.in(), 0.1, 4000, steps, out);
  } catch (const eigenflow::argument_error &error) {
    const std::string text = error.what();
    named = text.rfind("step_size", 0) == 0 && text.find("coordinate 137") != std::string::npos;
  }
  CHECK(named);
}

TEST(the_link_turns_the_integrated_force_into_the_state) {
  // A single coordinate: v = int (z - theta) dt, by the trapezoidal rule along the exact flow.
  const double z = 0.8, lambda = 1e-2, b0 = 0.4;
  const std::int64_t steps = 4000;
  std::vector<double> t(steps + 1), residual(steps + 1), beta(steps + 1);
  for (std::int64_t i = 0; i <= steps; ++i)
    t[static_cast<std::size_t>(i)] = 0.01 * static_cast<double>(i);
  const flow::coordinates<double> in{row_major(&z, 1, 1), row_major(&lambda, 1, 1),
                                     row_major(&b0, 1, 1)};
  for (const int depth : {0, 1, 2, 5}) {
    const flow::options opts{depth, flow::coupling::shared, 1};
    flow::fields<double> wanted;
    wanted.residual = residual.data();
    wanted.beta = beta.data();
    flow::evolve(opts, in, view(t), wanted);
    double v = 0;
    for (std::size_t i = 1; i < t.size(); ++i)
      v += 0.005 * (residual[i - 1] + residual[i]);
    double found = 0, theta = 0;
    const flow::link_fields<double> out{&found, &theta, nullptr};
    flow::link(opts, {row_major(&v, 1, 1), in.eigenvalues, in.b0}, out);
    CHECK_CLOSE(found, beta.back(), 1e-4);
    CHECK_CLOSE(theta + residual.back(), z, 1e-4);
  }
}
