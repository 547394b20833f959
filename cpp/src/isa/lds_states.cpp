// SPDX-License-Identifier: BSD-3-Clause
#include "lds_states.hpp"

#include "lds_transpose.hpp"

namespace {

using eigenflow::isa::lds_lane_rows;
using eigenflow::isa::lds_lanes;
using eigenflow::isa::lds_state_gain;
using eigenflow::isa::lds_state_step;
using std::int64_t;
namespace simd = eigenflow::isa::EF_LEVEL_NS;

#if defined(__AVX2__)
using vec = decltype(simd::broadcast(0.0));
constexpr int width = simd::vector_bytes / static_cast<int>(sizeof(double));

// Coefficients stay in memory, where the multiplications read them: as vectors they would be more
// than there are registers.
EF_HD void keep_in_memory(const lds_state_gain &gain) {
#if EF_GNU_EXTENSIONS
  asm volatile("" : : "r"(&gain) : "memory");
#else
  (void)gain;
#endif
}

// What y adds comes first, and the state in two sums: a chain is what the next step waits for.
EF_HD void move(const lds_state_step &m, vec y, vec (&f)[4], vec &total) {
  vec e = simd::fma(simd::broadcast(m.w), y, simd::broadcast(m.e0)), next[4];
  for (int j = 0; j < 4; ++j)
    e = simd::fma(simd::broadcast(m.H[j]), f[j], e);
  total = simd::fma(e, e, total);
  for (int i = 0; i < 4; ++i) {
    const double *row = m.G + 4 * i;
    vec sum = simd::fma(simd::broadcast(m.K[i]), y, simd::broadcast(m.h[i]));
    sum = simd::fma(simd::broadcast(row[0]), f[0], sum);
    sum = simd::fma(simd::broadcast(row[1]), f[1], sum);
    const vec rest =
        simd::fma(simd::broadcast(row[3]), f[3], simd::mul(simd::broadcast(row[2]), f[2]));
    next[i] = simd::add(sum, rest);
  }
  for (int i = 0; i < 4; ++i)
    f[i] = next[i];
}

template <bool around> EF_HD void write(double *to, __m256d row) {
  if (around)
    _mm256_stream_pd(to, row);
  else
    _mm256_storeu_pd(to, row);
}

template <bool around>
void run_lanes(const lds_state_gain &gain, const double *y, int64_t steps, double *x,
               const lds_lane_rows &out, double *sums) {
  for (int lane = 0; lane < lds_lanes; lane += width) {
    double *rows[width];
    for (int l = 0; l < width; ++l)
      rows[l] = out.at[lane + l];
    vec f[4], total = simd::load(sums + lane);
    for (int i = 0; i < 4; ++i)
      f[i] = simd::load(x + i * lds_lanes + lane);
    const lds_state_step *step = &gain.first;
    const auto next = [&](int64_t s) {
      keep_in_memory(gain);
      move(*step, simd::load(y + s * lds_lanes + lane), f, total);
      step = &gain.later;
      return lane_rows(f);
    };
    int64_t s = 0;
    for (; around && s + 2 <= steps; s += 2) { // two rows are a cache line
      const lane_rows a = next(s), b = next(s + 1);
      for (int l = 0; l < width; ++l) {
        write<around>(rows[l] + 4 * s, a.of(l));
        write<around>(rows[l] + 4 * s + 4, b.of(l));
      }
    }
    for (; s < steps; ++s) {
      const lane_rows a = next(s);
      for (int l = 0; l < width; ++l)
        write<around>(rows[l] + 4 * s, a.of(l));
    }
    for (int i = 0; i < 4 && steps > 0; ++i) {
      vec sum = simd::broadcast(gain.c[i]);
      for (int j = 0; j < 4; ++j)
        sum = simd::fma(simd::broadcast(gain.A[4 * i + j]), f[j], sum);
      simd::store(x + i * lds_lanes + lane, sum);
    }
    simd::store(sums + lane, total);
  }
  if (around)
    _mm_sfence();
}

bool known() { return true; }

void run(const lds_state_gain &gain, const double *y, int64_t steps, double *x,
         const lds_lane_rows &rows, double *sums) {
  (rows.around ? run_lanes<true> : run_lanes<false>)(gain, y, steps, x, rows, sums);
}
#else
bool known() { return false; }
void run(const lds_state_gain &, const double *, int64_t, double *, const lds_lane_rows &,
         double *) {}
#endif

} // namespace

EF_ISA_DEFINE(lds_states, {known, run})
