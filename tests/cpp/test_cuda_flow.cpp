// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"
#include "cuda_shim.hpp"

#include "../../cuda/entry/flow_closed.cu"
#include "../../cuda/entry/flow_derivatives.cu"
#include "../../cuda/entry/flow_descend.cu"
#include "../../cuda/entry/flow_eigenvalue.cu"
#include "../../cuda/entry/flow_hitting.cu"
#include "../../cuda/entry/flow_march.cu"
#include "../../cuda/entry/flow_state.cu"
#include "../../cuda/entry/flow_sure.cu"
#include "../../cuda/entry/flow_vanilla.cu"

#include <eigenflow/flow.hpp>

namespace flow = eigenflow::flow;

namespace {

constexpr long long n = 37;
const std::vector<double> times{2.0, 0.0, 40.0, 5.0, 1e9};
const std::vector<double> sorted{0.0, 2.0, 5.0, 40.0, 1e9};
const std::vector<long long> row{1, 0, 3, 2, 4};
constexpr std::size_t size = 5 * n;
const eigenflow::vector_view<const double> when{times.data(), 5, 1};

// Host and device take the same memory; b0 is one value for all on the device.
template <class T> struct problem {
  std::vector<T> z, lambda, b0;
  problem() : b0(n, T(0.5)) {
    for (int i = 0; i < n; ++i) {
      z.push_back(static_cast<T>(i == 7 ? 0 : std::sin(1.0 + i)));
      lambda.push_back(static_cast<T>(i == 5 ? 0.0 : std::pow(1.0 + i, -3.0)));
    }
  }
  flow::coordinates<T> host() const {
    return {eigenflow::row_major(z.data(), 1, n), eigenflow::row_major(lambda.data(), 1, n),
            eigenflow::row_major(b0.data(), 1, n)};
  }
  template <class Kernel, class... Rest> void launch(Kernel kernel, Rest... rest) const {
    cuda_shim::launch(3, 4, kernel, n, z.data(), 1LL, lambda.data(), 1LL, rest...);
  }
  template <class Kernel, class... Rest>
  void launch_deep(Kernel kernel, int depth, Rest... rest) const {
    launch(kernel, depth > 0 ? b0.data() : nullptr, 0LL, depth, 1.0 * depth, rest...);
  }
};

flow::options shared(int depth) { return {depth, flow::coupling::shared, 1}; }

template <class T> void compare(const std::vector<T> &got, const std::vector<T> &want, double tol) {
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(std::abs(got[i] - want[i]) <= tol * std::abs(want[i]));
}

template <class T> using fields = std::vector<std::vector<T>>;

} // namespace

// The device code is held to the host's kernels; fma may be missing here, so digits differ.
TEST(theta_and_the_state_are_the_hosts) {
  const problem<double> p;
  for (const int depth : {0, 1, 2, 5, 8}) {
    std::vector<double> theta(size);
    fields<double> got(6, theta), want(6, theta);
    flow::evolve(shared(depth), p.host(), when,
                 {want[0].data(), want[1].data(), want[2].data(), want[3].data(), want[4].data(),
                  want[5].data()});
    if (depth == 0)
      p.launch(flow_closed_f64, 5LL, sorted.data(), row.data(), theta.data());
    else
      p.launch_deep(flow_march_f64, depth, 5LL, sorted.data(), row.data(), theta.data());
    compare(theta, want[0], 1e-12);
    p.launch_deep(flow_state_f64, depth, 5LL, sorted.data(), row.data(), got[0].data(),
                  got[1].data(), got[2].data(), got[3].data(), got[4].data(), got[5].data());
    for (std::size_t k = 0; k < 6; ++k)
      compare(got[k], want[k], 1e-12);
  }
}

TEST(derivatives_are_the_hosts) {
  const problem<double> p;
  for (const int depth : {0, 1, 3}) {
    fields<double> got(4, std::vector<double>(size)), want = got;
    flow::fields<double> out;
    out.d_z = want[0].data();
    out.d_eigenvalues = want[1].data();
    out.d_b0 = want[2].data();
    out.d_times = want[3].data();
    flow::evolve(shared(depth), p.host(), when, out);
    p.launch_deep(flow_derivatives_f64, depth, 5LL, sorted.data(), row.data(),
                  static_cast<double *>(nullptr), got[0].data(), got[1].data(), got[2].data(),
                  got[3].data());
    for (std::size_t k = 0; k < 4; ++k)
      compare(got[k], want[k], 1e-11);
  }
}

TEST(single_precision_too) {
  const problem<float> p;
  for (const int depth : {0, 2}) {
    std::vector<float> theta(size), want(size);
    flow::solve(shared(depth), p.host(), when, want.data());
    if (depth == 0)
      p.launch(flow_closed_f32, 5LL, sorted.data(), row.data(), theta.data());
    else
      p.launch_deep(flow_march_f32, depth, 5LL, sorted.data(), row.data(), theta.data());
    compare(theta, want, 1e-6);
  }
}

TEST(the_vanilla_kernel_is_its_formula) {
  const problem<double> p;
  const problem<float> q;
  std::vector<double> theta(size);
  std::vector<float> rounded(size);
  p.launch(flow_vanilla_f64, 5LL, sorted.data(), row.data(), theta.data());
  q.launch(flow_vanilla_f32, 5LL, sorted.data(), row.data(), rounded.data());
  for (std::size_t k = 0; k < times.size(); ++k)
    for (std::size_t i = 0; i < n; ++i) {
      const double want = -std::expm1(-p.lambda[i] * times[k]) * p.z[i];
      CHECK_CLOSE(theta[k * n + i], want, 1e-14);
      CHECK_CLOSE(rounded[k * n + i], want, 1e-6);
    }
}

TEST(learned_eigenvalues_and_hitting_times_are_the_hosts) {
  const problem<double> p;
  const std::vector<double> fractions{0.5, 0.0, 1.0};
  for (const int depth : {0, 3}) {
    std::vector<double> got(n), want(n), hit(3 * n), reached(3 * n);
    flow::learned_eigenvalues(shared(depth), p.host(), want.data());
    p.launch_deep(flow_eigenvalue_f64, depth, got.data());
    compare(got, want, 1e-13);
    flow::hitting_time(shared(depth), p.host(), {fractions.data(), 3, 1}, reached.data());
    p.launch_deep(flow_hitting_f64, depth, 3LL, fractions.data(), hit.data());
    for (std::size_t i = 0; i < hit.size(); ++i)
      CHECK(hit[i] == reached[i] || std::abs(hit[i] - reached[i]) <= 1e-13 * reached[i]);
  }
}

TEST(risks_are_sums_in_lanes_and_a_tree) {
  const problem<double> p;
  const std::vector<double> variance(n, 0.1);
  std::vector<double> want(5);
  flow::sure(shared(2), p.host(), eigenflow::row_major(variance.data(), 1, n), when,
             eigenflow::row_major(want.data(), 5, 1));
  for (const long long tile : {8LL, 128LL}) { // 5 tiles of 8 lanes, and one
    const long long n_lanes = tile == 8 ? 40 : 8;
    std::vector<double> lanes(static_cast<std::size_t>(5 * n_lanes)), sums(5);
    p.launch_deep(flow_sure_f64, 2, variance.data(), 0LL, n, tile, 5LL, sorted.data(), row.data(),
                  lanes.data());
    cuda_shim::launch(2, 2, sum_parts, 5LL, n_lanes, lanes.data(), sums.data());
    compare(sums, want, 1e-12);
  }
}

TEST(the_descent_goes_on_where_it_stopped_and_notes_where_it_diverged) {
  problem<double> p;
  const std::vector<std::int64_t> record{30, 7};
  for (const int depth : {0, 2}) {
    fields<double> got(6, std::vector<double>(2 * n)), want = got,
                                                       memory(3, std::vector<double>(n));
    flow::descend(shared(depth), p.host(), 0.01, 30, {record.data(), 2, 1},
                  {want[0].data(), want[1].data(), want[2].data(), want[3].data(), want[4].data(),
                   want[5].data()});
    std::vector<long long> diverged(n, 1000);
    const auto run = [&](double step, long long from, long long to, long long at, long long where) {
      p.launch_deep(flow_descend_f64, depth, step, from, to, 1LL, &at, &where, memory[0].data(),
                    memory[1].data(), memory[2].data(), diverged.data(), got[0].data(),
                    got[1].data(), got[2].data(), got[3].data(), got[4].data(), got[5].data());
    };
    run(0.01, 0, 10, 7, 1);
    run(0.01, 10, 30, 30, 0);
    for (std::size_t k = 0; k < 6; ++k)
      compare(got[k], want[k], 1e-12);
    for (const long long step : diverged)
      CHECK(step == 1000);
    run(1e4, 0, 30, 30, 0);
    CHECK(diverged[0] < 30);    // away from a saddle
    CHECK(diverged[5] == 1000); // lambda = 0
  }
}
