// SPDX-License-Identifier: BSD-3-Clause
#include "sine.hpp"
#include "vectors.hpp"

#include <eigenflow/hd/sine.hpp>

namespace {

namespace hd = eigenflow::hd;
namespace simd = eigenflow::isa::EF_LEVEL_NS;
using std::int64_t;

// A panel is `vectors` registers wide. With `columns` accumulators for each, the inner loops fill
// 12 of 16 registers (24 of 32), and are bound by the multiply-adds rather than by the loads.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int vectors = 4, columns = 6;
#elif defined(__FMA__)
constexpr int vectors = 4, columns = 3;
#else
constexpr int vectors = 2, columns = 6;
#endif

template <class Real>
constexpr int vector_lanes = simd::vector_bytes / static_cast<int>(sizeof(Real));
template <class Real> constexpr int lanes = vectors * vector_lanes<Real>;
template <class Real> using vec = decltype(simd::broadcast(Real{}));

enum class from { zero, out, zero_then_add };

// out[c] = chain over p < depth of start + panel[p] * block[c][p].
template <class Real, int n_cols, from start>
EF_HD void multiply_columns(const Real *panel, const Real *block, int64_t depth, Real *out) {
  constexpr int step = vector_lanes<Real>;
  vec<Real> sum[n_cols][vectors];
  for (int c = 0; c < n_cols; ++c)
    for (int i = 0; i < vectors; ++i)
      sum[c][i] = start == from::out ? simd::load(out + c * lanes<Real> + i * step)
                                     : simd::broadcast(Real(0));
  for (int64_t p = 0; p < depth; ++p) {
    vec<Real> a[vectors];
    for (int i = 0; i < vectors; ++i)
      a[i] = simd::load(panel + p * lanes<Real> + i * step);
    for (int c = 0; c < n_cols; ++c) {
      const vec<Real> factor = simd::broadcast(block[c * depth + p]);
      for (int i = 0; i < vectors; ++i)
        sum[c][i] = simd::fma(a[i], factor, sum[c][i]);
    }
  }
  for (int c = 0; c < n_cols; ++c)
    for (int i = 0; i < vectors; ++i) {
      Real *place = out + c * lanes<Real> + i * step;
      simd::store(place, start == from::zero_then_add ? simd::add(simd::load(place), sum[c][i])
                                                      : sum[c][i]);
    }
}

// Whole groups of columns, then what is left by ever smaller groups.
template <class Real, int n_cols, from start>
EF_HD void multiply(const Real *panel, const Real *block, int64_t depth, int64_t cols, Real *out) {
  int64_t c = 0;
  for (; c + n_cols <= cols; c += n_cols)
    multiply_columns<Real, n_cols, start>(panel, block + c * depth, depth, out + c * lanes<Real>);
  if constexpr (n_cols > 1)
    multiply<Real, n_cols / 2, start>(panel, block + c * depth, depth, cols - c,
                                      out + c * lanes<Real>);
}

template <class Real>
void phases(const Real *panel, const Real *block, int64_t depth, int64_t cols, bool fresh,
            Real *out) {
  if (fresh)
    multiply<Real, columns, from::zero>(panel, block, depth, cols, out);
  else
    multiply<Real, columns, from::out>(panel, block, depth, cols, out);
}

template <class Real>
void apply(const Real *panel, const Real *block, int64_t depth, int64_t cols, Real *out) {
  multiply<Real, columns, from::zero_then_add>(panel, block, depth, cols, out);
}

template <class Real>
void phases_exact(const Real *panel, const Real *panel_low, const Real *block,
                  const Real *block_low, int64_t depth, int64_t cols, bool fresh, Real *out) {
  constexpr int n = lanes<Real>;
  for (int64_t c = 0; c < cols; ++c, out += n) {
    for (int i = 0; fresh && i < n; ++i)
      out[i] = 0;
    for (int64_t p = 0; p < depth; ++p) {
      const Real *a = panel + p * n;
      const Real b = block[c * depth + p];
      if (panel_low != nullptr)
        for (int i = 0; i < n; ++i)
          out[i] = hd::add_phase_exact(out[i], a[i], panel_low[p * n + i], b);
      else
        for (int i = 0; i < n; ++i)
          out[i] = hd::add_phase_exact(out[i], b, block_low[c * depth + p], a[i]);
    }
  }
}

template <class Real> void sines(Real *values, int64_t n, Real scale) {
  for (int64_t i = 0; i < n; ++i)
    values[i] = hd::sinpi(values[i]) * scale;
}

template <class Real>
void sincospi(const Real *__restrict t, int64_t n, Real *__restrict sine, Real *__restrict cosine) {
  for (int64_t i = 0; i < n; ++i) {
    const auto both = hd::sincospi(t[i]);
    sine[i] = both.sine;
    cosine[i] = both.cosine;
  }
}

} // namespace

EF_ISA_DEFINE(sine, {{lanes<float>, phases<float>, phases_exact<float>, sines<float>, apply<float>,
                      sincospi<float>},
                     {lanes<double>, phases<double>, phases_exact<double>, sines<double>,
                      apply<double>, sincospi<double>}})
