// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"
#include "cuda_shim.hpp"

#include "../../cuda/entry/rng.cu"

#include <eigenflow/rng.hpp>

#include <cstdint>
#include <limits>
#include <vector>

TEST(the_device_writes_the_words_of_the_host) {
  const long long rows = 13, cols = 21;
  std::vector<std::uint32_t> host(13 * 21), device(13 * 21);
  eigenflow::rng::fill_words(77, 5, 3, eigenflow::row_major(host.data(), rows, cols), 1);
  cuda_shim::launch(3, 8, fill_words, 77ULL, 5LL, 3LL, rows, cols, device.data());
  CHECK(host == device);
}

template <class T, class Kernel> void check_normals(Kernel kernel, long long col, long long cols) {
  const long long rows = 13;
  std::vector<T> host(static_cast<std::size_t>(rows * cols)), device(host.size());
  eigenflow::rng::fill_normals<T>(77, 5, col, eigenflow::row_major(host.data(), rows, cols), 1);
  cuda_shim::launch(3, 8, kernel, 77ULL, 5LL, col, rows, cols, device.data());
  for (std::size_t i = 0; i < host.size(); ++i)
    CHECK_CLOSE(device[i], host[i], 8 * std::numeric_limits<T>::epsilon());
}

TEST(the_device_draws_the_normals_of_the_host) {
  for (const long long col : {0LL, 3LL, 4LL, 6LL})
    for (const long long cols : {1LL, 5LL, 8LL, 24LL}) { // whole counters, and parts of some
      check_normals<float>(fill_normals_f32, col, cols);
      check_normals<double>(fill_normals_f64, col, cols);
    }
}
