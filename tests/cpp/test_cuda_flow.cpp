// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"
#include "cuda_shim.hpp"

#include "../../cuda/entry/flow.cu"

#include <eigenflow/flow.hpp>

namespace flow = eigenflow::flow;

namespace {

constexpr long long n = 37;
const std::vector<double> times{2.0, 0.0, 40.0, 5.0, 1e9};
const std::vector<double> sorted{0.0, 2.0, 5.0, 40.0, 1e9};
const std::vector<long long> row{1, 0, 3, 2, 4};

template <class T> struct problem {
  std::vector<T> z, lambda, b0;
  problem() {
    for (int i = 0; i < n; ++i) {
      z.push_back(static_cast<T>(std::sin(1.0 + i)));
      lambda.push_back(static_cast<T>(i == 5 ? 0.0 : std::pow(1.0 + i, -3.0)));
      b0.push_back(T(0.5));
    }
  }
  std::vector<T> host(int depth) const {
    std::vector<T> theta(times.size() * n);
    flow::solve<T>({depth, flow::coupling::shared, 1},
                   {eigenflow::row_major(z.data(), 1, n), eigenflow::row_major(lambda.data(), 1, n),
                    eigenflow::row_major(b0.data(), 1, n)},
                   {times.data(), static_cast<eigenflow::index>(times.size()), 1}, theta.data());
    return theta;
  }
};

template <class T> void compare(const std::vector<T> &got, const std::vector<T> &want, double tol) {
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(std::abs(got[i] - want[i]) <= tol * std::abs(want[i]));
}

} // namespace

// The device code is held to the host's kernels; fma may be missing here, so digits differ.
TEST(device_code_computes_what_the_host_does) {
  const problem<double> p;
  std::vector<double> theta(times.size() * n);
  cuda_shim::launch(3, 4, flow_closed_f64, n, p.z.data(), p.lambda.data(), 5LL, sorted.data(),
                    row.data(), theta.data());
  compare(theta, p.host(0), 1e-13);
  for (const int depth : {1, 2, 5, 8}) {
    cuda_shim::launch(3, 4, flow_march_f64, n, p.z.data(), p.lambda.data(), p.b0.data(), depth,
                      1.0 * depth, 5LL, sorted.data(), row.data(), theta.data());
    compare(theta, p.host(depth), 1e-12);
  }
}

TEST(single_precision_too) {
  const problem<float> p;
  std::vector<float> theta(times.size() * n);
  cuda_shim::launch(2, 8, flow_closed_f32, n, p.z.data(), p.lambda.data(), 5LL, sorted.data(),
                    row.data(), theta.data());
  compare(theta, p.host(0), 1e-6);
  cuda_shim::launch(2, 8, flow_march_f32, n, p.z.data(), p.lambda.data(), p.b0.data(), 2, 2.0, 5LL,
                    sorted.data(), row.data(), theta.data());
  compare(theta, p.host(2), 1e-6);
}

TEST(the_vanilla_kernel_is_its_formula) {
  const problem<double> p;
  const problem<float> q;
  std::vector<double> theta(times.size() * n);
  std::vector<float> rounded(times.size() * n);
  cuda_shim::launch(2, 8, flow_vanilla_f64, n, p.z.data(), p.lambda.data(), 5LL, sorted.data(),
                    row.data(), theta.data());
  cuda_shim::launch(2, 8, flow_vanilla_f32, n, q.z.data(), q.lambda.data(), 5LL, sorted.data(),
                    row.data(), rounded.data());
  for (std::size_t k = 0; k < times.size(); ++k)
    for (std::size_t i = 0; i < n; ++i) {
      const double want = -std::expm1(-p.lambda[i] * times[k]) * p.z[i];
      CHECK_CLOSE(theta[k * n + i], want, 1e-14);
      CHECK_CLOSE(rounded[k * n + i], want, 1e-6);
    }
}
