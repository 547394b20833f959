// SPDX-License-Identifier: BSD-3-Clause
#include "lds_model.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

namespace eigenflow::lds {

void propagate(const model &system, matrix_view<const double> inputs, matrix_view<double> states) {
  model_cursor cursor(system, inputs);
  const dense_model &now = cursor.now();
  require(states.cols == now.n, "states: want one column for each state");
  interrupt_poll poll;
  for (index t = 1; t < states.rows; ++t) {
    if (t % 1024 == 0)
      poll();
    cursor.seek(t - 1);
    for (index i = 0; i < now.n; ++i) {
      double sum = now.c[count(i)];
      for (index j = 0; j < now.n; ++j)
        sum += now.A[count(i * now.n + j)] * states(t - 1, j);
      states(t, i) += sum;
    }
  }
}

} // namespace eigenflow::lds
