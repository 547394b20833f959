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

// The matrix of entries times x, with the two barriers of the kernel played by loops.
template <class Entry>
std::vector<float> by_blocks(const Entry &entry, long long rows, long long inner,
                             const std::vector<float> &x, long long cols) {
  using block = eigenflow::cuda::sine_block<float>;
  std::vector<float> result(static_cast<std::size_t>(rows * cols)),
      tile(block::depth * block::rows);
  for (long long row = 0; row < rows; row += block::rows) {
    std::vector<float> sums(block::rows * block::groups * block::each);
    for (long long first = 0; first < inner; first += block::depth) {
      for (int i = 0; i < block::rows; ++i)
        for (int j = 0; j < block::groups; ++j)
          block::fill(entry, row, rows, first, inner, i, j, tile.data());
      for (int i = 0; i < block::rows; ++i)
        for (int j = 0; j < block::groups; ++j)
          block::multiply(tile.data(), x.data(), first, inner, 0, cols, i, j,
                          &sums[static_cast<std::size_t>((i * block::groups + j) * block::each)]);
    }
    for (int i = 0; i < block::rows && row + i < rows; ++i)
      for (int c = 0; c < cols; ++c)
        result[static_cast<std::size_t>((row + i) * cols + c)] = sums[static_cast<std::size_t>(
            (i * block::groups + c % block::groups) * block::each + c / block::groups)];
  }
  return result;
}

TEST(the_blocks_of_the_device_sum_to_the_product_of_the_host) {
  const device_problem p;
  std::vector<float> host(m * n_cols);
  sine::apply<float>(row_major(p.u.data(), m, k), row_major(p.v.data(), n, k),
                     row_major(p.x.data(), n, n_cols), row_major(host.data(), m, n_cols),
                     {omega, gain, false, 1});
  const eigenflow::cuda::sine_factors<float> f{p.high.data(), nullptr, p.v.data(),
                                               nullptr,       k,       1 / float(gain)};
  CHECK(worst(host, by_blocks(f, m, n, p.x, n_cols)) < 1e-4);
}

TEST(the_blocks_of_the_device_sum_to_the_gradients_of_the_host) {
  const device_problem p;
  const auto y = wave(m * n_cols, 0.3);
  std::vector<float> dU(m * k), dV(n * k);
  sine::vjp<float>(row_major(p.u.data(), m, k), row_major(p.v.data(), n, k),
                   row_major(p.x.data(), n, n_cols), row_major(y.data(), m, n_cols),
                   {row_major(dU.data(), m, k), row_major(dV.data(), n, k), {}},
                   {omega, gain, false, 1});
  for (auto *gradient : {&dU, &dV})
    for (float &g : *gradient)
      g /= float(omega);
  const float *const none = nullptr;
  const float inverse_gain = 1 / float(gain);
  const eigenflow::cuda::sine_slopes<float> left{
      {p.high.data(), none, p.v.data(), none, k, inverse_gain}, y.data(), p.x.data(), n_cols};
  CHECK(worst(dU, by_blocks(left, m, n, p.v, k)) < 1e-3);
  const eigenflow::cuda::sine_slopes<float> right{
      {p.v.data(), none, p.high.data(), none, k, inverse_gain}, p.x.data(), y.data(), n_cols};
  CHECK(worst(dV, by_blocks(right, n, m, p.u, k)) < 1e-3);
}
