// SPDX-License-Identifier: BSD-3-Clause
// A shared library with one function, which uses eigenflow inside.
#include <eigenflow/flow.hpp>

extern "C" __attribute__((visibility("default"))) double embedding_theta(double z, double time) {
  using namespace eigenflow;
  const double eigenvalue = 1;
  double theta = 0;
  flow::solve<double>({}, {row_major<const double>(&z, 1, 1), row_major(&eigenvalue, 1, 1), {}},
                      {&time, 1}, &theta);
  return theta;
}
