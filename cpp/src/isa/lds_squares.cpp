// SPDX-License-Identifier: BSD-3-Clause
#include "lds_squares.hpp"

#include "lds.hpp"
#include "vectors.hpp"

namespace {

using eigenflow::isa::lds_lanes;
using eigenflow::isa::lds_lift;
using eigenflow::isa::lds_max_dim;
using eigenflow::isa::lds_modes;
using std::int64_t;
namespace simd = eigenflow::isa::EF_LEVEL_NS;

using vec = decltype(simd::broadcast(0.0));
constexpr int width = simd::vector_bytes / static_cast<int>(sizeof(double));
constexpr int n_vectors = lds_lanes / width;

// What one vector of lanes reads: the observations of a block, and its state.
struct columns {
  int64_t n, lane;
  const double *y, *x;
};

// R sums over a panel, whose next one is at the pointer returned. The state comes last: it is what
// the block before leaves late.
template <int R>
EF_HD const double *sum_panel(const double *m, const columns &in, int64_t n_y, vec (&sum)[R]) {
  for (int r = 0; r < R; ++r)
    sum[r] = simd::broadcast(m[r]);
  m += R;
  for (int64_t j = 0; j < n_y; ++j, m += R) {
    const vec value = simd::load(in.y + j * lds_lanes + in.lane);
    for (int r = 0; r < R; ++r)
      sum[r] = simd::fma(simd::broadcast(m[r]), value, sum[r]);
  }
  for (int64_t j = 0; j < in.n; ++j, m += R) {
    const vec value = simd::load(in.x + j * lds_lanes + in.lane);
    for (int r = 0; r < R; ++r)
      sum[r] = simd::fma(simd::broadcast(m[r]), value, sum[r]);
  }
  return m;
}

template <int R>
EF_HD const double *add_squares(const double *m, const columns &in, int64_t n_y, vec &total) {
  vec e[R];
  m = sum_panel<R>(m, in, n_y, e);
  vec odd = simd::broadcast(0.0);
  for (int r = 0; r < R; r += 2) {
    total = simd::fma(e[r], e[r], total);
    if (r + 1 < R)
      odd = simd::fma(e[r + 1], e[r + 1], odd);
  }
  total = simd::add(total, odd);
  return m;
}

template <int R>
EF_HD const double *move_rows(const double *m, const columns &in, int64_t n_y, double *next) {
  vec sum[R];
  m = sum_panel<R>(m, in, n_y, sum);
  for (int r = 0; r < R; ++r)
    simd::store(next + r * lds_lanes + in.lane, sum[r]);
  return m;
}

void add_innovations(const lds_lift &g, const columns &in, vec &total) {
  const double *m = g.innovations;
  const int64_t rows = g.steps * g.p;
  for (int64_t row = 0; row < rows;) {
    const int64_t left = rows - row;
    const int64_t height = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    const int64_t n_y = ((row + height - 1) / g.p + 1) * g.p;
    m = height == 8   ? add_squares<8>(m, in, n_y, total)
        : height == 4 ? add_squares<4>(m, in, n_y, total)
        : height == 2 ? add_squares<2>(m, in, n_y, total)
                      : add_squares<1>(m, in, n_y, total);
    row += height;
  }
}

void move_state(const lds_lift &g, const columns &in, double *next) {
  const double *m = g.state;
  const int64_t n_y = g.steps * g.p;
  for (int64_t row = 0; row < g.n;) {
    const int64_t left = g.n - row;
    const int64_t height = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    double *to = next + row * lds_lanes;
    m = height == 8   ? move_rows<8>(m, in, n_y, to)
        : height == 4 ? move_rows<4>(m, in, n_y, to)
        : height == 2 ? move_rows<2>(m, in, n_y, to)
                      : move_rows<1>(m, in, n_y, to);
    row += height;
  }
}

void lift(const lds_lift &g, const double *y, int64_t blocks, double *x, double *sums) {
  double other[lds_max_dim * lds_lanes];
  double *now = x, *next = other;
  vec total[n_vectors];
  for (int b = 0; b < n_vectors; ++b)
    total[b] = sums == nullptr ? simd::broadcast(0.0) : simd::load(sums + b * width);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int b = 0; b < n_vectors; ++b) {
      const columns in{g.n, b * width, y, now};
      if (sums != nullptr)
        add_innovations(g, in, total[b]);
      move_state(g, in, next);
    }
    double *spare = now;
    now = next;
    next = spare;
    y += g.steps * g.p * lds_lanes;
  }
  for (int64_t i = 0; i < g.n * lds_lanes && now != x; ++i)
    x[i] = now[i];
  for (int b = 0; b < n_vectors && sums != nullptr; ++b)
    simd::store(sums + b * width, total[b]);
}

// Four steps of the rows of a vector of lanes, which are read along and turned in registers.
struct four_steps {
  vec at[4];
};

#if defined(__AVX512F__)
EF_HD __m512d halves(const double *low, const double *high) {
  return _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(low)), _mm256_loadu_pd(high), 1);
}

EF_HD void turn(const double *const *y, int64_t s, four_steps &out) {
  // Rows that are two apart share a vector: two rounds of exchanges are left.
  const vec a = halves(y[0] + s, y[2] + s), b = halves(y[1] + s, y[3] + s);
  const vec c = halves(y[4] + s, y[6] + s), d = halves(y[5] + s, y[7] + s);
  const vec even = _mm512_unpacklo_pd(a, b), odd = _mm512_unpackhi_pd(a, b);
  const vec later_even = _mm512_unpacklo_pd(c, d), later_odd = _mm512_unpackhi_pd(c, d);
  out.at[0] = _mm512_shuffle_f64x2(even, later_even, 0x88);
  out.at[1] = _mm512_shuffle_f64x2(odd, later_odd, 0x88);
  out.at[2] = _mm512_shuffle_f64x2(even, later_even, 0xdd);
  out.at[3] = _mm512_shuffle_f64x2(odd, later_odd, 0xdd);
}
#else
EF_HD void turn(const double *const *y, int64_t s, four_steps &out) {
  double tile[4 * width];
  for (int k = 0; k < 4; ++k)
    for (int lane = 0; lane < width; ++lane)
      tile[k * width + lane] = y[lane][s + k];
  for (int k = 0; k < 4; ++k)
    out.at[k] = simd::load(tile + k * width);
}
#endif

// The modes of one vector of lanes, in registers; copies that nobody else writes to.
template <int R, int C> struct mode_lanes {
  static constexpr int n = R + 2 * C;
  double real[R + 1], pairs[2 * C + 1], weights[n];
  vec state[n], total;

  EF_HD mode_lanes(const lds_modes &m, const double *z) {
    for (int i = 0; i < R; ++i)
      real[i] = m.real[i];
    for (int i = 0; i < 2 * C; ++i)
      pairs[i] = m.pairs[i];
    for (int i = 0; i < n; ++i) {
      weights[i] = m.weights[i];
      state[i] = simd::load(z + i * lds_lanes);
    }
    total = simd::broadcast(0.0);
  }

  EF_HD void add_square(const vec &y) {
    vec v = y;
    for (int i = 0; i < n; ++i)
      v = simd::fma(simd::broadcast(weights[i]), state[i], v);
    total = simd::fma(v, v, total);
  }

  EF_HD void move(const vec &y) {
    for (int i = 0; i < R; ++i)
      state[i] = simd::fma(simd::broadcast(real[i]), state[i], y);
    for (int i = 0; i < C; ++i) {
      const vec a = simd::broadcast(pairs[2 * i]), b = simd::broadcast(pairs[2 * i + 1]);
      vec &one = state[R + 2 * i], &two = state[R + 2 * i + 1];
      const vec turned = simd::mul(b, one);
      one = simd::fma(a, one, simd::sub(y, simd::mul(b, two)));
      two = simd::fma(a, two, turned);
    }
  }
};

template <int R, int C, bool squares>
EF_HD void move_modes(const lds_modes &m, const double *const *y, int64_t steps, double *z,
                      double *sums) {
  mode_lanes<R, C> lanes(m, z);
  const vec offset = simd::broadcast(m.offset);
  const auto step = [&](const vec &seen) {
    const vec row = simd::sub(seen, offset);
    if (squares)
      lanes.add_square(row);
    lanes.move(row);
  };
  four_steps rows;
  int64_t s = 0;
  for (; s + 4 <= steps; s += 4) {
    turn(y, s, rows);
    for (int k = 0; k < 4; ++k)
      step(rows.at[k]);
  }
  double last[width];
  for (; s < steps; ++s) {
    for (int lane = 0; lane < width; ++lane)
      last[lane] = y[lane][s];
    step(simd::load(last));
  }
  for (int i = 0; i < R + 2 * C; ++i)
    simd::store(z + i * lds_lanes, lanes.state[i]);
  if (squares)
    simd::store(sums, simd::add(simd::load(sums), lanes.total));
}

template <int R, int C>
void modes_of(const lds_modes &m, const double *const *y, int64_t steps, double *z, double *sums) {
  for (int lane = 0; lane < lds_lanes; lane += width)
    if (sums != nullptr)
      move_modes<R, C, true>(m, y + lane, steps, z + lane, sums + lane);
    else
      move_modes<R, C, false>(m, y + lane, steps, z + lane, nullptr);
}

using modes_kernel = decltype(&modes_of<1, 0>);

// All splits of up to eight modes.
template <int R, int C> modes_kernel find_modes(int64_t n_real, int64_t n_pairs) {
  if (n_real == R && n_pairs == C)
    return modes_of<R, C>;
  if constexpr (R + 2 * C < eigenflow::isa::lds_most_modes)
    return find_modes<R + 1, C>(n_real, n_pairs);
  else if constexpr (2 * C + 2 <= eigenflow::isa::lds_most_modes)
    return find_modes<0, C + 1>(n_real, n_pairs);
  else
    return nullptr;
}

void modes(const lds_modes &m, const double *const *y, int64_t steps, double *z, double *sums) {
  find_modes<1, 0>(m.n_real, m.n_pairs)(m, y, steps, z, sums);
}

} // namespace

EF_ISA_DEFINE(lds_squares, {lift, modes})
