// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"
#include "cuda_shim.hpp"

#include "../../cuda/entry/rng.cu"

#include <eigenflow/rng.hpp>

#include <cstdint>

TEST(the_device_writes_the_words_of_the_host) {
  const long long rows = 13, cols = 21;
  std::vector<std::uint32_t> host(13 * 21), device(13 * 21);
  eigenflow::rng::fill_words(77, 5, 3, eigenflow::row_major(host.data(), rows, cols), 1);
  cuda_shim::launch(3, 8, fill_words, 77ULL, 5LL, 3LL, rows, cols, device.data());
  CHECK(host == device);
}

TEST(the_device_draws_the_normals_of_the_host) {
  const long long rows = 13, cols = 21;
  std::vector<double> host(13 * 21), device(13 * 21);
  eigenflow::rng::fill_normals<double>(77, 5, 3, eigenflow::row_major(host.data(), rows, cols), 1);
  cuda_shim::launch(3, 8, fill_normals_f64, 77ULL, 5LL, 3LL, rows, cols, device.data());
  for (std::size_t i = 0; i < host.size(); ++i)
    CHECK_CLOSE(device[i], host[i], 1e-15);
  std::vector<float> single(13 * 21), drawn(13 * 21);
  eigenflow::rng::fill_normals<float>(77, 5, 3, eigenflow::row_major(single.data(), rows, cols), 1);
  cuda_shim::launch(3, 8, fill_normals_f32, 77ULL, 5LL, 3LL, rows, cols, drawn.data());
  for (std::size_t i = 0; i < host.size(); ++i)
    CHECK_CLOSE(drawn[i], single[i], 1e-6);
}
