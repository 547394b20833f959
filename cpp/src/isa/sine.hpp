// SPDX-License-Identifier: BSD-3-Clause
// The hot loops of the sine operator work on panels: `lanes` neighbouring rows of one factor, held
// with the lanes contiguous, so that one vector instruction serves several rows and no sum ever
// crosses lanes. Hence the bytes of a result depend neither on the vector width nor on how rows
// are grouped.
#pragma once

#include "levels.hpp"

#include <cstdint>

namespace eigenflow::isa {

template <class Real> struct sine_panel_kernels {
  std::int64_t lanes;

  // A block holds `cols` rows of `depth` numbers, one after the other.
  // out[c][lane] = chain over l < depth of out + panel[l][lane] * block[c][l], from zero when
  // `fresh`: the phases, in half-turns, when one of the factors has been scaled by omega / pi.
  void (*phases)(const Real *panel, const Real *block, std::int64_t depth, std::int64_t cols,
                 bool fresh, Real *out);

  // The same, modulo whole turns and without the rounding of large phases. Exactly one of panel
  // and block has been scaled by omega / pi; its low part is given, the other one's is null.
  void (*phases_exact)(const Real *panel, const Real *panel_low, const Real *block,
                       const Real *block_low, std::int64_t depth, std::int64_t cols, bool fresh,
                       Real *out);

  // values[i] = sin(pi values[i]) * scale, for i < n, a multiple of lanes.
  void (*sines)(Real *values, std::int64_t n, Real scale);

  // out[c][lane] += sum over j < depth of panel[j][lane] * block[c][j]: the sum starts from zero
  // and is added once, so that the error of a long sum grows with its blocks.
  void (*apply)(const Real *panel, const Real *block, std::int64_t depth, std::int64_t cols,
                Real *out);

  void (*sincospi)(const Real *t, std::int64_t n, Real *sine, Real *cosine);
};

struct sine_kernels {
  sine_panel_kernels<float> single;
  sine_panel_kernels<double> twice;
};

} // namespace eigenflow::isa

EF_ISA_DECLARE(sine)
