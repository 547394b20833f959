// SPDX-License-Identifier: BSD-3-Clause
// The device's entries, and its product with the two barriers played by loops, against the host's.
#include "check.hpp"
#include "cuda_shim.hpp"

#include "../../cuda/entry/sine.cu"

#include <eigenflow/sine.hpp>

using eigenflow::row_major;
namespace sine = eigenflow::sine;

namespace {

constexpr long long m = 37, n = 45, k = 3, n_cols = 10;
constexpr double omega = 60, gain = 2;

std::vector<float> wave(long long size, double step) {
  std::vector<float> out;
  for (long long i = 0; i < size; ++i)
    out.push_back(static_cast<float>(std::sin(step * static_cast<double>(i + 1))));
  return out;
}

struct device_problem {
  std::vector<float> u = wave(m * k, 1.3), v = wave(n * k, 0.7), x = wave(n * n_cols, 2.9);
  std::vector<float> high = std::vector<float>(m * k), low = std::vector<float>(m * k);

  device_problem() {
    const double inverse_pi = 0.31830988618379069, rest = -1.9678676675182486e-17;
    cuda_shim::launch(2, 8, scale_factor_f32, static_cast<const float *>(u.data()), m * k,
                      omega * inverse_pi, omega * rest, high.data(), low.data());
  }
};

double worst(const std::vector<float> &a, const std::vector<float> &b) {
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
  return difference;
}

void check_entries(bool exact_phase) {
  const device_problem p;
  std::vector<float> host(m * n), device(m * n);
  sine::entries<float>(row_major(p.u.data(), m, k), row_major(p.v.data(), n, k),
                       row_major(host.data(), m, n), {omega, gain, exact_phase, 1});
  cuda_shim::launch(3, 8, sine_entries_f32, p.high.data(), exact_phase ? p.low.data() : nullptr,
                    p.v.data(), static_cast<const float *>(nullptr), k, 1 / float(gain), m, n,
                    device.data());
  CHECK(worst(host, device) < (exact_phase ? 1e-6 : 2e-5));
}

} // namespace

TEST(the_device_makes_the_entries_of_the_host) {
  check_entries(false);
  check_entries(true);
}

TEST(the_blocks_of_the_device_sum_to_the_product_of_the_host) {
  using block = eigenflow::cuda::sine_block<float>;
  const device_problem p;
  std::vector<float> host(m * n_cols), device(m * n_cols), tile(block::depth * block::rows);
  sine::apply<float>(row_major(p.u.data(), m, k), row_major(p.v.data(), n, k),
                     row_major(p.x.data(), n, n_cols), row_major(host.data(), m, n_cols),
                     {omega, gain, false, 1});
  const eigenflow::cuda::sine_factors<float> f{p.high.data(), nullptr, p.v.data(),
                                               nullptr,       k,       1 / float(gain)};
  for (long long row = 0; row < m; row += block::rows) {
    std::vector<float> sums(block::rows * block::groups * block::each);
    for (long long first = 0; first < n; first += block::depth) {
      for (int x = 0; x < block::rows; ++x)
        for (int y = 0; y < block::groups; ++y)
          block::fill(f, row, m, first, n, x, y, tile.data());
      for (int x = 0; x < block::rows; ++x)
        for (int y = 0; y < block::groups; ++y)
          block::multiply(tile.data(), p.x.data(), first, n, 0, n_cols, x, y,
                          &sums[static_cast<std::size_t>((x * block::groups + y) * block::each)]);
    }
    for (int x = 0; x < block::rows && row + x < m; ++x)
      for (int c = 0; c < n_cols; ++c)
        device[static_cast<std::size_t>((row + x) * n_cols + c)] = sums[static_cast<std::size_t>(
            (x * block::groups + c % block::groups) * block::each + c / block::groups)];
  }
  CHECK(worst(host, device) < 1e-4);
}
