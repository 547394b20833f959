// SPDX-License-Identifier: BSD-3-Clause
#include "check.hpp"

#include <eigenflow/blas.hpp>
#include <eigenflow/call_log.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace blas = eigenflow::blas;

// Two routines of one signature, to be bound in turn.
template <int Value>
void fill(char *, char *, int *rows, int *cols, int *, double *, double *, int *, double *, int *,
          double *, double *out, int *stride) {
  for (int j = 0; j < *cols; ++j)
    for (int i = 0; i < *rows; ++i)
      out[i + j * *stride] = Value;
}

std::vector<int> threads_set;

} // namespace

TEST(a_routine_can_be_bound_while_other_threads_call_it) {
  const std::vector<double> a(6, 1.0);
  CHECK(blas::bind("dgemm", reinterpret_cast<void *>(&fill<1>)));
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      std::vector<double> c(4);
      while (!stop) {
        blas::gemm<double>(
            blas::transpose::no, blas::transpose::no, 1, eigenflow::col_major(a.data(), 2, 3),
            eigenflow::col_major(a.data(), 3, 2), 0, eigenflow::col_major(c.data(), 2, 2));
        wrong += (c[0] != 1 && c[0] != 2) || c[3] != c[0];
      }
    });
  for (int round = 0; round < 2000; ++round) {
    CHECK(blas::bind("dgemm", reinterpret_cast<void *>(&fill<2>)));
    CHECK(blas::bind("dgemm", reinterpret_cast<void *>(&fill<1>)));
  }
  stop = true;
  for (auto &caller : callers)
    caller.join();
  CHECK(wrong == 0);
}

TEST(blas_has_the_threads_of_the_innermost_scope) {
  blas::set_thread_hook([](int count) { threads_set.push_back(count); });
  {
    const blas::threads usual(1);
    const blas::threads many(4);
    {
      const blas::threads one(1);
      const blas::threads again(1);
    }
    const blas::threads same(4);
  }
  blas::set_thread_hook(nullptr);
  CHECK((threads_set == std::vector<int>{4, 1, 4, 1}));
}

TEST(a_call_within_a_logged_call_is_part_of_it) {
  const std::vector<double> a(6, 1.0);
  std::vector<double> c(4);
  CHECK(blas::bind("dgemm", reinterpret_cast<void *>(&fill<1>)));
  const auto multiply = [&] {
    blas::gemm<double>(blas::transpose::no, blas::transpose::no, 1,
                       eigenflow::col_major(a.data(), 2, 3), eigenflow::col_major(a.data(), 3, 2),
                       0, eigenflow::col_major(c.data(), 2, 2));
  };
  const eigenflow::call_log log;
  {
    const eigenflow::logged outer("outer", sizeof(double), false, 2, 0, 2);
    multiply();
  }
  multiply();
  CHECK(log.calls.size() == 2);
  CHECK(std::string(log.calls[0].name) == "outer");
  CHECK(std::string(log.calls[1].name) == "gemm");
}

TEST(an_unknown_routine_is_not_bound) { CHECK(!blas::bind("dgemx", nullptr)); }
