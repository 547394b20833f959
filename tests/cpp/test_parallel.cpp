// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

using eigenflow::parallel_for;

TEST(every_index_is_visited_once_for_any_number_of_workers) {
  for (const int workers : {1, 2, 3, 7})
    for (const std::int64_t n : {0, 1, 9, 10, 1001}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(n));
      parallel_for(
          n, 10,
          [&](std::int64_t begin, std::int64_t end, int) {
            CHECK(begin % 10 == 0 && end <= n);
            for (std::int64_t i = begin; i < end; ++i)
              ++visits[static_cast<std::size_t>(i)];
          },
          workers);
      for (const auto &count : visits)
        CHECK(count == 1);
    }
}

TEST(the_exception_of_a_worker_reaches_the_caller) {
  const auto fail = [](std::int64_t begin, std::int64_t, int) {
    if (begin == 50)
      throw eigenflow::argument_error("x: bad");
  };
  CHECK_THROWS(parallel_for(100, 1, fail, 4), eigenflow::argument_error);
}

TEST(the_interrupt_hook_stops_a_long_loop) {
  eigenflow::set_interrupt_hook([] { return true; });
  const auto wait = [](std::int64_t, std::int64_t, int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS(parallel_for(10000, 1, wait, 2), eigenflow::interrupted);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  eigenflow::set_interrupt_hook(nullptr);
}

TEST(negative_workers_count_back_from_the_cpus) {
  CHECK(eigenflow::resolve_workers(3) == 3);
  CHECK(eigenflow::resolve_workers(-1) >= 1);
  CHECK(eigenflow::resolve_workers(-1000) == 1);
}
