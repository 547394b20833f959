// SPDX-License-Identifier: BSD-3-Clause
#include "lds_states.hpp"

#include <algorithm>
#include <cstdint>

namespace eigenflow::lds {
namespace {

constexpr index n = 4;

// The step that multiplies by `before` first: e = w (y - C (before f + offset)).
isa::lds_state_step step_after(const dense_model &s, const steady_filter &f, const buffer &before,
                               const buffer &offset) {
  buffer keep = small::identity(n), G(count(n * n)), h(count(n)), H(count(n));
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j)
      keep[count(i * n + j)] -= f.K[count(i)] * s.C[count(j)];
  small::multiply(n, n, n, keep.data(), before.data(), G.data());
  small::apply(n, n, keep.data(), offset.data(), h.data());
  small::multiply(1, n, n, s.C.data(), before.data(), H.data());
  isa::lds_state_step m;
  m.w = f.whiten[0];
  m.e0 = -m.w * small::dot(n, s.C.data(), offset.data());
  std::copy(G.begin(), G.end(), m.G);
  std::copy(h.begin(), h.end(), m.h);
  std::copy(f.K.begin(), f.K.end(), m.K);
  for (index j = 0; j < n; ++j)
    m.H[j] = -m.w * H[count(j)];
  return m;
}

} // namespace

std::optional<state_rows> state_rows::plan(const steady_series &series, const filter_outputs &out) {
  const dense_model &s = series.system.now();
  const matrix_view<double> &rows = out.filtered_mean;
  const bool alone = rows.rows > 0 && rows.row_stride == n && rows.col_stride == 1 &&
                     out.predicted_mean.rows == 0 && out.innovations.rows == 0 &&
                     out.log_likelihood_terms.size == 0;
  if (!alone || s.n != n || s.p != 1 || series.driven() || !s.S.empty() ||
      !isa::lds_states().known())
    return std::nullopt;
  state_rows made;
  made.out_ = rows;
  made.gain_.first = step_after(s, series.steady, small::identity(n), buffer(count(n)));
  made.gain_.later = step_after(s, series.steady, s.A, s.c);
  std::copy(s.A.begin(), s.A.end(), made.gain_.A);
  std::copy(s.c.begin(), s.c.end(), made.gain_.c);
  return made;
}

void state_rows::run(const tiles::input_tile &in, const tiles::group &g, index offset, index steps,
                     double *state, double *sums) const {
  isa::lds_lane_rows rows;
  for (index lane = 0; lane < tiles::lanes; ++lane)
    rows.at[lane] = &out_(g.start_of(lane) + offset, 0);
  rows.around = tiles::goes_around(out_) && reinterpret_cast<std::uintptr_t>(rows.at[0]) % 32 == 0;
  isa::lds_states().run(gain_, in.y(), steps, state, rows, sums);
}

} // namespace eigenflow::lds
