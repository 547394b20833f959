// SPDX-License-Identifier: BSD-3-Clause
// The matrices of one step, packed; and a cursor that follows a system through time.
#pragma once

#include "small_matrix.hpp"

#include <eigenflow/lds.hpp>

namespace eigenflow::lds {

using small::buffer;
using small::count;

struct dense_model {
  explicit dense_model(const model &system);
  index n, p;
  buffer A, C, Q, R;
  buffer S; // empty without cross noise
  buffer c, d;
  index version = 0; // changes with A, C, Q, R and S
};

// x' = A x + c + w is the same as x' = (A - J C) x + J (y - d) + c + e with J = S R^-1: e does not
// depend on v. Where R is singular, a generalised inverse does, since S vanishes on its null space.
struct decorrelated {
  buffer A, Q, J; // J is n x p, empty without cross noise
};
decorrelated decorrelate(const dense_model &s);

class model_cursor {
public:
  model_cursor(const model &system, matrix_view<const double> inputs);
  const dense_model &now() const { return now_; }
  // A, C, Q, R and S are the same at every step.
  bool constant() const { return constant_; }
  // c + B u and d + D u are the same at every step.
  bool fixed_offsets() const { return fixed_offsets_; }
  // Makes `now` the system of step t.
  void seek(index t);
  // c + B u and d + D u of step t. Any thread may ask.
  void offsets(index t, double *state_offset, double *obs_offset) const;
  matrix_view<const double> inputs() const { return inputs_; }
  const model &source() const { return system_; }

private:
  model system_;
  matrix_view<const double> inputs_;
  dense_model now_;
  bool constant_, fixed_offsets_;
  index at_ = 0;
};

} // namespace eigenflow::lds
