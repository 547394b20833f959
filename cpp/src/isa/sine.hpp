// SPDX-License-Identifier: BSD-3-Clause
// The hot loops of the sine operator work on panels: `lanes` neighbouring rows of one factor, held
// with the lanes contiguous, so that one vector instruction serves several rows and no sum ever
// crosses lanes. Hence the bytes of a result depend neither on the vector width nor on how rows
// are grouped.
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

struct monomial_step {
  std::int64_t parent, first, second; // a parent of -1 is none
};

template <class Real> struct sine_panel_kernels {
  std::int64_t lanes, vector_lanes;

  // A panel holds `depth` rows of lanes numbers, a block `cols` rows of depth numbers; rows of the
  // three arrays are the given strides apart, a panel's `lanes` where none is given.
  // out[c][lane] = chain over l < depth of out + panel[l][lane] * block[c][l], from zero when
  // `fresh`: the phases, in half-turns, when one of the factors has been scaled by omega / pi.
  void (*phases)(const Real *panel, const Real *block, std::int64_t block_stride,
                 std::int64_t depth, std::int64_t cols, bool fresh, Real *out,
                 std::int64_t out_stride);

  // The same, modulo whole turns and without the rounding of large phases. Exactly one of panel
  // and block has been scaled by omega / pi; its low part is given, the other one's is null.
  void (*phases_exact)(const Real *panel, const Real *panel_low, const Real *block,
                       const Real *block_low, std::int64_t depth, std::int64_t cols, bool fresh,
                       Real *out, std::int64_t out_stride);

  // values[i] = sin(pi values[i]), for i < n, a multiple of lanes.
  void (*sines)(Real *values, std::int64_t n);

  // values = sin(pi values) and slopes *= cos(pi values), for `rows` rows of `width` numbers, a
  // multiple of lanes; dots[i] += sum over the rows of the new values times the old slopes.
  void (*sines_and_slopes)(Real *values, Real *slopes, std::int64_t rows, std::int64_t width,
                           Real *dots);

  // out[c][lane] += sum over j < depth of panel[j][lane] * block[c][j]: the sum starts from zero
  // and is added once, so that the error of a long sum grows with its blocks. The first `width`
  // lanes of the panel take part, a multiple of vector_lanes and at most lanes.
  void (*apply)(const Real *panel, std::int64_t panel_stride, const Real *block,
                std::int64_t block_stride, std::int64_t depth, std::int64_t cols,
                std::int64_t width, Real *out, std::int64_t out_stride);

  // phases, sines and apply in one, for at most few_columns right-hand sides: nothing but sums
  // leaves the registers. The same bytes. x[t][c], out[t][lane].
  void (*apply_few)(const Real *panel, const Real *block, std::int64_t block_stride,
                    std::int64_t depth, std::int64_t cols, const Real *x, std::int64_t n_rhs,
                    Real *out, std::int64_t out_stride);

  // For benchmarks: the arithmetic of apply_few for `n` times `register_loop_vectors` registers of
  // entries, without its loads. No kernel with these instructions is faster.
  Real (*register_loop)(std::int64_t depth, std::int64_t n_rhs, std::int64_t n);

  void (*sincospi)(const Real *t, std::int64_t n, Real *sine, Real *cosine);

  // Functions of `rows` points, with the points contiguous: [function][row].
  // out[i n_rest + j] = first[i] rest[j] - first[n_first - 1 - i] rest[n_rest - 1 - j] for the
  // first half of i: a function of an even grid of nodes less the one of the mirror image.
  void (*odd_products)(const double *first, std::int64_t n_first, const double *rest,
                       std::int64_t n_rest, std::int64_t rows, Real *out);

  // all[q] = x[first] for steps without a parent, else all[parent] x[first] x[second]; and the same
  // in `out`.
  void (*monomials)(const double *x, const monomial_step *steps, std::int64_t n_steps,
                    std::int64_t rows, double *all, Real *out);
};

inline constexpr std::int64_t few_columns = 4, register_loop_vectors = 8;
inline constexpr std::int64_t lagrange_group = 16;

struct sine_kernels {
  sine_panel_kernels<float> single;
  sine_panel_kernels<double> twice;

  // out[j] = Lagrange polynomial j at `rows` points x, by the barycentric formula: the quotients
  // weights[j] / (x - nodes[j]) over their sum. A point on a node gives exactly 1 and 0. The number
  // of rows is a multiple of lagrange_group.
  void (*lagrange)(const double *x, std::int64_t rows, const double *nodes, const double *weights,
                   std::int64_t n_nodes, double *out);

  // out[i n_b + j] = a[i] b[j].
  void (*outer)(const double *a, std::int64_t n_a, const double *b, std::int64_t n_b,
                std::int64_t rows, double *out);
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(sine)
