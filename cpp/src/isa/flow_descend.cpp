// SPDX-License-Identifier: BSD-3-Clause
#include "flow_descend.hpp"

#include <eigenflow/hd/flow_march.hpp>

namespace {

namespace hd = eigenflow::hd;
using std::int64_t;

template <int depth>
void run(double b_rate, const double *__restrict z, int64_t n, double step, int64_t n_steps,
         double *__restrict a, double *__restrict b, double *__restrict beta) {
  for (int64_t k = 0; k < n_steps; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const double one_less = depth > 1 ? hd::power_of(b[i], depth - 1) : 1;
      const double power = depth > 0 ? one_less * b[i] : 1;
      const double push = step * (z[i] - a[i] * power * beta[i]);
      const double a_new = a[i] + push * (power * beta[i]);
      const double beta_new = beta[i] + push * (a[i] * power);
      if (depth > 0)
        b[i] += push * (b_rate * (a[i] * one_less * beta[i]));
      a[i] = a_new;
      beta[i] = beta_new;
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
