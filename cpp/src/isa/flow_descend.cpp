// SPDX-License-Identifier: BSD-3-Clause
#include "flow_descend.hpp"

#include <eigenflow/hd/flow_descend.hpp>

namespace {

namespace hd = eigenflow::hd;
using std::int64_t;

template <int depth>
void run(double b_rate, const double *__restrict z, int64_t n, double step, int64_t n_steps,
         double *__restrict a, double *__restrict b, double *__restrict beta) {
  for (int64_t k = 0; k < n_steps; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const hd::descent_state next =
          hd::descent_step({a[i], b[i], beta[i]}, z[i], depth, b_rate, step);
      a[i] = next.a;
      b[i] = next.b;
      beta[i] = next.beta;
    }
}

} // namespace

namespace eigenflow::isa::EF_LEVEL_NS {

void descend(int depth, double b_rate, const double *z, std::int64_t n, double step,
             std::int64_t n_steps, double *a, double *b, double *beta) {
  using body =
      void (*)(double, const double *, int64_t, double, int64_t, double *, double *, double *);
  static constexpr body bodies[] = {run<0>, run<1>, run<2>, run<3>, run<4>,
                                    run<5>, run<6>, run<7>, run<8>};
  bodies[depth](b_rate, z, n, step, n_steps, a, b, beta);
}

} // namespace eigenflow::isa::EF_LEVEL_NS
