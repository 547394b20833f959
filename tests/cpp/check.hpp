// SPDX-License-Identifier: BSD-3-Clause
// A test program is a list of TEST blocks; `main` comes with this header, and CTest
// reads its exit code. CHECK goes on after a failure, so one run shows them all.
#pragma once

#include <cmath>
#include <cstdio>
#include <exception>
#include <vector>

namespace check {

struct test_case {
  const char *name;
  void (*body)();
};

inline std::vector<test_case> &tests() {
  static std::vector<test_case> list;
  return list;
}

inline int &failures() {
  static int count = 0;
  return count;
}

inline void report(bool ok, const char *text, const char *file, int line) {
  if (ok)
    return;
  ++failures();
  std::printf("%s:%d: failed: %s\n", file, line, text);
}

inline void report_close(double got, double want, double tolerance, const char *text,
                         const char *file, int line) {
  if (std::abs(got - want) <= tolerance * (1 + std::abs(want)))
    return;
  ++failures();
  std::printf("%s:%d: %s: got %.17g, want %.17g (tolerance %g)\n", file, line, text, got, want,
              tolerance);
}

struct registration {
  registration(const char *name, void (*body)()) { tests().push_back({name, body}); }
};

inline int run() {
  for (const test_case &test : tests()) {
    const int before = failures();
    try {
      test.body();
    } catch (const std::exception &error) {
      ++failures();
      std::printf("%s: threw %s\n", test.name, error.what());
    }
    std::printf("%s %s\n", failures() == before ? "ok    " : "FAILED", test.name);
  }
  return failures() == 0 ? 0 : 1;
}

} // namespace check

#define TEST(name)                                                                                 \
  static void name();                                                                              \
  static const check::registration register_##name(#name, &name);                                  \
  static void name()
#define CHECK(condition) check::report((condition), #condition, __FILE__, __LINE__)
#define CHECK_CLOSE(got, want, tolerance)                                                          \
  check::report_close((got), (want), (tolerance), #got, __FILE__, __LINE__)
#define CHECK_THROWS(expression, type)                                                             \
  do {                                                                                             \
    bool thrown = false;                                                                           \
    try {                                                                                          \
      (void)(expression);                                                                          \
    } catch (const type &) {                                                                       \
      thrown = true;                                                                               \
    }                                                                                              \
    check::report(thrown, #expression " throws " #type, __FILE__, __LINE__);                       \
  } while (false)

int main() { return check::run(); }
