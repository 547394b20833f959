// SPDX-License-Identifier: BSD-3-Clause
#include "sine.hpp"
#include "vectors.hpp"

#include <eigenflow/hd/sine.hpp>

namespace {

namespace hd = eigenflow::hd;
namespace simd = eigenflow::isa::EF_LEVEL_NS;
using std::int64_t;

// A panel is `vectors` registers wide. With 24 accumulators of 32 registers (12 of 16), the inner
// loops are bound by the multiply-adds rather than by the loads.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int vectors = 4, accumulators = 24;
#elif defined(__FMA__)
constexpr int vectors = 4, accumulators = 12;
#else
constexpr int vectors = 2, accumulators = 12;
#endif

template <class Real>
constexpr int vector_lanes = simd::vector_bytes / static_cast<int>(sizeof(Real));
template <class Real> constexpr int lanes = vectors * vector_lanes<Real>;
template <class Real> using vec = decltype(simd::broadcast(Real{}));

// sin(pi r) for |r| <= 1/2: hd::sinpi_reduced for a register.
template <class Real> EF_HD vec<Real> sinpi_reduced(vec<Real> r) {
  using series = hd::sinpi_series<Real>;
  const vec<Real> s = simd::mul(r, r);
  vec<Real> p = simd::fma(s, simd::broadcast(series::at(0)), simd::broadcast(series::at(1)));
  for (int i = 2; i < series::size; ++i)
    p = simd::fma(s, p, simd::broadcast(series::at(i)));
  return simd::mul(p, r);
}

// Both equal hd::sinpi and hd::cospi, with one rounding to an integer fewer: t = n + r exactly, and
// an odd n changes the sign. The adders reduce while the multipliers work on polynomials.
template <class Real> EF_HD vec<Real> sinpi(vec<Real> t) {
  const vec<Real> n = simd::rint(t);
  return sinpi_reduced<Real>(simd::negate_if_odd(simd::sub(t, n), n));
}

template <class Real> struct sine_cosine {
  vec<Real> sine, cosine;
};

template <class Real> EF_HD sine_cosine<Real> sincospi(vec<Real> t) {
  const vec<Real> n = simd::rint(t), r = simd::sub(t, n);
  const vec<Real> rest = simd::sub(simd::broadcast(Real(0.5)), simd::abs(r));
  return {sinpi_reduced<Real>(simd::negate_if_odd(r, n)),
          sinpi_reduced<Real>(simd::negate_if_odd(rest, n))};
}

enum class from { zero, out, zero_then_add };

template <class Real> struct operands {
  const Real *panel;
  int64_t panel_stride;
  const Real *block;
  int64_t block_stride, depth;
  Real *out;
  int64_t out_stride;

  operands column(int64_t c) const {
    operands o = *this;
    o.block += c * block_stride;
    o.out += c * out_stride;
    return o;
  }
  operands lane(int64_t i) const {
    operands o = *this;
    o.panel += i;
    o.out += i;
    return o;
  }
};

// out[c] = chain over p < depth of start + panel[p] * block[c][p].
template <class Real, int width, int n_cols, from start>
EF_HD void multiply_columns(const operands<Real> &o) {
  constexpr int step = vector_lanes<Real>;
  vec<Real> sum[n_cols][width];
  for (int c = 0; c < n_cols; ++c)
    for (int i = 0; i < width; ++i)
      sum[c][i] = start == from::out ? simd::load(o.out + c * o.out_stride + i * step)
                                     : simd::broadcast(Real(0));
  for (int64_t p = 0; p < o.depth; ++p) {
    vec<Real> a[width];
    for (int i = 0; i < width; ++i)
      a[i] = simd::load(o.panel + p * o.panel_stride + i * step);
    for (int c = 0; c < n_cols; ++c) {
      const vec<Real> factor = simd::broadcast(o.block[c * o.block_stride + p]);
      for (int i = 0; i < width; ++i)
        sum[c][i] = simd::fma(a[i], factor, sum[c][i]);
    }
  }
  for (int c = 0; c < n_cols; ++c)
    for (int i = 0; i < width; ++i) {
      Real *place = o.out + c * o.out_stride + i * step;
      simd::store(place, start == from::zero_then_add ? simd::add(simd::load(place), sum[c][i])
                                                      : sum[c][i]);
    }
}

// Whole groups of columns, then what is left by ever smaller groups.
template <class Real, int width, int n_cols, from start>
EF_HD void multiply(const operands<Real> &o, int64_t cols) {
  int64_t c = 0;
  for (; c + n_cols <= cols; c += n_cols)
    multiply_columns<Real, width, n_cols, start>(o.column(c));
  if constexpr (n_cols > 1)
    multiply<Real, width, n_cols / 2, start>(o.column(c), cols - c);
}

template <class Real>
void phases(const Real *panel, const Real *block, int64_t block_stride, int64_t depth, int64_t cols,
            bool fresh, Real *out, int64_t out_stride) {
  const operands<Real> o{panel, lanes<Real>, block, block_stride, depth, out, out_stride};
  if (fresh)
    multiply<Real, vectors, accumulators / vectors, from::zero>(o, cols);
  else
    multiply<Real, vectors, accumulators / vectors, from::out>(o, cols);
}

template <class Real>
void apply(const Real *panel, int64_t panel_stride, const Real *block, int64_t block_stride,
           int64_t depth, int64_t cols, int64_t width, Real *out, int64_t out_stride) {
  const operands<Real> o{panel, panel_stride, block, block_stride, depth, out, out_stride};
  if (width == lanes<Real>)
    return multiply<Real, vectors, accumulators / vectors, from::zero_then_add>(o, cols);
  for (int64_t i = 0; i < width; i += vector_lanes<Real>)
    multiply<Real, 1, accumulators / 2, from::zero_then_add>(o.lane(i), cols);
}

// Columns whose phases are made together: their sines fill the pipelines.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int few_group = 2;
#else
constexpr int few_group = 1;
#endif

template <class Real, int n_cols, int n_rhs>
EF_HD void few_step(const Real *panel, const Real *block, int64_t block_stride, int64_t depth,
                    const Real *x, int64_t x_stride, vec<Real> (&sum)[n_rhs][vectors]) {
  vec<Real> t[n_cols][vectors];
  for (int c = 0; c < n_cols; ++c)
    for (int i = 0; i < vectors; ++i)
      t[c][i] = simd::broadcast(Real(0));
  for (int64_t p = 0; p < depth; ++p) {
    vec<Real> factor[n_cols];
    for (int c = 0; c < n_cols; ++c)
      factor[c] = simd::broadcast(block[c * block_stride + p]);
    for (int i = 0; i < vectors; ++i) {
      const vec<Real> a = simd::load(panel + p * lanes<Real> + i * vector_lanes<Real>);
      for (int c = 0; c < n_cols; ++c)
        t[c][i] = simd::fma(a, factor[c], t[c][i]);
    }
  }
  for (int c = 0; c < n_cols; ++c)
    for (int i = 0; i < vectors; ++i) {
      const vec<Real> sine = sinpi<Real>(t[c][i]);
      for (int r = 0; r < n_rhs; ++r)
        sum[r][i] = simd::fma(sine, simd::broadcast(x[r * x_stride + c]), sum[r][i]);
    }
}

template <class Real, int n_rhs>
EF_HD void apply_few_of(const Real *panel, const Real *block, int64_t block_stride, int64_t depth,
                        int64_t cols, const Real *x, Real *out, int64_t out_stride) {
  vec<Real> sum[n_rhs][vectors];
  for (int r = 0; r < n_rhs; ++r)
    for (int i = 0; i < vectors; ++i)
      sum[r][i] = simd::broadcast(Real(0));
  int64_t c = 0;
  for (; c + few_group <= cols; c += few_group)
    few_step<Real, few_group, n_rhs>(panel, block + c * block_stride, block_stride, depth, x + c,
                                     cols, sum);
  for (; c < cols; ++c)
    few_step<Real, 1, n_rhs>(panel, block + c * block_stride, block_stride, depth, x + c, cols,
                             sum);
  for (int r = 0; r < n_rhs; ++r)
    for (int i = 0; i < vectors; ++i) {
      Real *place = out + r * out_stride + i * vector_lanes<Real>;
      simd::store(place, simd::add(simd::load(place), sum[r][i]));
    }
}

template <class Real>
void apply_few(const Real *panel, const Real *block, int64_t block_stride, int64_t depth,
               int64_t cols, const Real *x, int64_t n_rhs, Real *out, int64_t out_stride) {
  static_assert(eigenflow::isa::few_columns == 4);
  switch (n_rhs) {
  case 1:
    return apply_few_of<Real, 1>(panel, block, block_stride, depth, cols, x, out, out_stride);
  case 2:
    return apply_few_of<Real, 2>(panel, block, block_stride, depth, cols, x, out, out_stride);
  case 3:
    return apply_few_of<Real, 3>(panel, block, block_stride, depth, cols, x, out, out_stride);
  default:
    return apply_few_of<Real, 4>(panel, block, block_stride, depth, cols, x, out, out_stride);
  }
}

template <class Real> Real register_loop(int64_t depth, int64_t n_rhs, int64_t n) {
  constexpr int count = eigenflow::isa::register_loop_vectors;
  const vec<Real> u = simd::broadcast(Real(0.37)), v = simd::broadcast(Real(0.51));
  vec<Real> sum[count];
  for (int i = 0; i < count; ++i)
    sum[i] = simd::broadcast(Real(i));
  for (int64_t step = 0; step < n; ++step) {
    vec<Real> t[count];
    for (int i = 0; i < count; ++i)
      t[i] = sum[i];
    for (int64_t l = 0; l < depth; ++l)
      for (int i = 0; i < count; ++i)
        t[i] = simd::fma(t[i], v, u);
    for (int i = 0; i < count; ++i)
      t[i] = sinpi<Real>(t[i]);
    for (int64_t r = 0; r < n_rhs; ++r)
      for (int i = 0; i < count; ++i)
        sum[i] = simd::fma(t[i], u, sum[i]);
  }
  Real lane[vector_lanes<Real>];
  for (int i = 1; i < count; ++i)
    sum[0] = simd::add(sum[0], sum[i]);
  simd::store(lane, sum[0]);
  return lane[0];
}

template <class Real>
void phases_exact(const Real *panel, const Real *panel_low, const Real *block,
                  const Real *block_low, int64_t depth, int64_t cols, bool fresh, Real *out,
                  int64_t out_stride) {
  constexpr int n = lanes<Real>;
  for (int64_t c = 0; c < cols; ++c, out += out_stride) {
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

template <class Real> void sines(Real *values, int64_t n) {
  for (int64_t i = 0; i < n; i += vector_lanes<Real>)
    simd::store(values + i, sinpi<Real>(simd::load(values + i)));
}

template <class Real>
void sines_and_slopes(Real *values, Real *slopes, int64_t rows, int64_t width, Real *dots) {
  constexpr int step = vector_lanes<Real>;
  for (int64_t lane = 0; lane < width; lane += lanes<Real>) {
    vec<Real> dot[vectors];
    for (int i = 0; i < vectors; ++i)
      dot[i] = simd::load(dots + lane + i * step);
    for (int64_t r = 0; r < rows; ++r)
      for (int i = 0; i < vectors; ++i) {
        const int64_t place = r * width + lane + i * step;
        const auto both = sincospi<Real>(simd::load(values + place));
        const vec<Real> slope = simd::load(slopes + place);
        dot[i] = simd::fma(both.sine, slope, dot[i]);
        simd::store(values + place, both.sine);
        simd::store(slopes + place, simd::mul(slope, both.cosine));
      }
    for (int i = 0; i < vectors; ++i)
      simd::store(dots + lane + i * step, dot[i]);
  }
}

template <class Real>
void sincospi_of(const Real *__restrict t, int64_t n, Real *__restrict sine,
                 Real *__restrict cosine) {
  for (int64_t i = 0; i < n; ++i) {
    const auto both = hd::sincospi(t[i]);
    sine[i] = both.sine;
    cosine[i] = both.cosine;
  }
}

void lagrange(const double *__restrict x, int64_t rows, const double *nodes, const double *weights,
              int64_t n_nodes, double *__restrict out) {
  constexpr double tiny = 1e-200; // instead of a distance of 0: its quotient outweighs all others
  constexpr int64_t group = eigenflow::isa::lagrange_group;
  for (int64_t r = 0; r < rows; r += group) {
    double total[group] = {};
    for (int64_t j = 0; j < n_nodes; ++j)
      for (int64_t i = 0; i < group; ++i) {
        const double distance = x[r + i] - nodes[j];
        const double quotient = weights[j] / (distance == 0 ? tiny : distance);
        total[i] += quotient;
        out[j * rows + r + i] = quotient;
      }
    for (int64_t i = 0; i < group; ++i)
      total[i] = 1 / total[i];
    for (int64_t j = 0; j < n_nodes; ++j)
      for (int64_t i = 0; i < group; ++i)
        out[j * rows + r + i] *= total[i];
  }
}

void outer(const double *a, int64_t n_a, const double *b, int64_t n_b, int64_t rows,
           double *__restrict out) {
  for (int64_t i = 0; i < n_a; ++i)
    for (int64_t j = 0; j < n_b; ++j, out += rows)
      for (int64_t r = 0; r < rows; ++r)
        out[r] = a[i * rows + r] * b[j * rows + r];
}

template <class Real>
void odd_products(const double *first, int64_t n_first, const double *rest, int64_t n_rest,
                  int64_t rows, Real *__restrict out) {
  for (int64_t i = 0; i < n_first / 2; ++i)
    for (int64_t j = 0; j < n_rest; ++j, out += rows) {
      const double *a = first + i * rows, *a_mirror = first + (n_first - 1 - i) * rows;
      const double *b = rest + j * rows, *b_mirror = rest + (n_rest - 1 - j) * rows;
      for (int64_t r = 0; r < rows; ++r)
        out[r] = static_cast<Real>(a[r] * b[r] - a_mirror[r] * b_mirror[r]);
    }
}

template <class Real>
void monomials(const double *x, const eigenflow::isa::monomial_step *steps, int64_t n_steps,
               int64_t rows, double *all, Real *__restrict out) {
  for (int64_t q = 0; q < n_steps; ++q) {
    const auto &step = steps[q];
    const double *a = x + step.first * rows, *b = x + step.second * rows;
    const double *parent = all + step.parent * rows;
    double *value = all + q * rows;
    if (step.parent < 0)
      for (int64_t r = 0; r < rows; ++r)
        value[r] = a[r];
    else
      for (int64_t r = 0; r < rows; ++r)
        value[r] = parent[r] * (a[r] * b[r]);
    for (int64_t r = 0; r < rows; ++r)
      out[q * rows + r] = static_cast<Real>(value[r]);
  }
}

template <class Real>
constexpr eigenflow::isa::sine_panel_kernels<Real> kernels{
    lanes<Real>,         vector_lanes<Real>,     phases<Real>,       phases_exact<Real>,
    sines<Real>,         sines_and_slopes<Real>, apply<Real>,        apply_few<Real>,
    register_loop<Real>, sincospi_of<Real>,      odd_products<Real>, monomials<Real>};

} // namespace

EF_ISA_DEFINE(sine, {kernels<float>, kernels<double>, lagrange, outer})
