// SPDX-License-Identifier: BSD-3-Clause
// The device's entries, products and gradients against the host's.
#include "check.hpp"
#include "cuda_shim.hpp"

#include "../../cuda/entry/sine.cu"
#include "../../cuda/entry/sine_rows.cu"
#undef EF_COLUMNS
#include "../../cuda/entry/sine_tiles.cu"
#include "../../cuda/entry/sine_weights.cu"

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

  std::vector<float> turned() const {
    std::vector<float> out(n * k);
    for (long long i = 0; i < n * k; ++i)
      out[static_cast<std::size_t>(i % k * n + i / k)] = v[static_cast<std::size_t>(i)];
    return out;
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

#ifdef CUDA_SHIM_BLOCKS
namespace {

const float *const none = nullptr;
constexpr float inverse_gain = 1 / float(gain);

// Threads of a block and the blocks that cover `rows` x `cols` of a result.
template <class Call> void launch(long long rows, long long cols, const Call &call) {
  using block = eigenflow::cuda::sine_block<float>;
  const auto blocks = [](long long size, int of) {
    return static_cast<unsigned>((size + of - 1) / of);
  };
  cuda_shim::launch_blocks({blocks(rows, block::rows), blocks(cols, block::cols)},
                           {block::rows, block::groups}, call);
}

} // namespace

TEST(the_device_multiplies_as_the_host_does) {
  const device_problem p;
  std::vector<float> host(m * n_cols), any(m * n_cols), few(m * 8), tiled(m * n_cols);
  sine::apply<float>(row_major(p.u.data(), m, k), row_major(p.v.data(), n, k),
                     row_major(p.x.data(), n, n_cols), row_major(host.data(), m, n_cols),
                     {omega, gain, false, 1});
  launch(m, n_cols, [&] {
    sine_product_f32(p.high.data(), none, p.v.data(), none, k, inverse_gain, p.x.data(), n_cols, 1,
                     m, n, n_cols, any.data(), n_cols, 1);
  });
  CHECK(worst(host, any) < 1e-4);
  const auto v = p.turned();
  cuda_shim::launch_blocks({(m + 3) / 4, 1}, {256, 1}, [&] {
    few_columns_f32(p.high.data(), v.data(), k, m, n, p.x.data(), n_cols, 1, 8, nullptr, nullptr,
                    gain, few.data(), 8, 1);
  });
  for (std::size_t i = 0; i < few.size(); ++i)
    CHECK(std::abs(few[i] - host[i / 8 * n_cols + i % 8]) < 1e-4f);
  cuda_shim::launch_blocks({1, 1}, {128, 1}, [&] {
    tiled_product_f32(p.high.data(), v.data(), k, m, n, p.x.data(), n_cols, 1, n_cols, 1, nullptr,
                      nullptr, gain, tiled.data(), n_cols, 1, 0);
  });
  CHECK(worst(host, tiled) < 1e-4);
}

TEST(the_device_has_the_gradients_of_the_host) {
  const device_problem p;
  const auto y = wave(m * n_cols, 0.3);
  std::vector<float> dU(m * k), dV(n * k), device_dU(m * k), device_dV(n * k);
  sine::vjp<float>(row_major(p.u.data(), m, k), row_major(p.v.data(), n, k),
                   row_major(p.x.data(), n, n_cols), row_major(y.data(), m, n_cols),
                   {row_major(dU.data(), m, k), row_major(dV.data(), n, k), {}},
                   {omega, gain, false, 1});
  for (auto *gradient : {&dU, &dV})
    for (float &g : *gradient)
      g /= float(omega);
  launch(m, k, [&] {
    sine_slope_product_f32(p.high.data(), none, p.v.data(), none, k, inverse_gain, y.data(), n_cols,
                           1, p.x.data(), n_cols, 1, n_cols, p.v.data(), k, 1, m, n, k,
                           device_dU.data(), k, 1);
  });
  CHECK(worst(dU, device_dU) < 1e-3);
  launch(n, k, [&] {
    sine_slope_product_f32(p.v.data(), none, p.high.data(), none, k, inverse_gain, p.x.data(),
                           n_cols, 1, y.data(), n_cols, 1, n_cols, p.u.data(), k, 1, n, m, k,
                           device_dV.data(), k, 1);
  });
  CHECK(worst(dV, device_dV) < 1e-3);
}
#endif
