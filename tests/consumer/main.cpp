// SPDX-License-Identifier: BSD-3-Clause
// One coordinate of an over-parameterised gradient flow, from C++.
#include <eigenflow/cpu.hpp>
#include <eigenflow/flow.hpp>
#include <eigenflow/version.hpp>

#include <cmath>
#include <cstdio>

int main() {
  using namespace eigenflow;
  const double z = 1, eigenvalue = 1, b0 = 0.5, time = 3;
  const auto one = [](const double &x) { return row_major(&x, 1, 1); };

  flow::options options;
  options.depth = 1;
  double theta = 0;
  flow::solve<double>(options, {one(z), one(eigenvalue), one(b0)}, {&time, 1}, &theta);

  std::printf("eigenflow %s on %s: theta(%g) = %.15f\n", EIGENFLOW_VERSION,
              cpu_level_name(active_cpu_level()), time, theta);
  return std::abs(theta - 0.99658722795721374) < 1e-14 ? 0 : 1;
}
