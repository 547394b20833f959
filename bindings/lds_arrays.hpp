// SPDX-License-Identifier: BSD-3-Clause
// Systems, starts and series of a batch, as the Python side packs them.
#pragma once

#include "arrays.hpp"

#include <eigenflow/lds.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

namespace eigenflow::bindings {

// A stack is read by the index of a series: it must have that many, or one for all.
inline void require_stack(index length, index n_series, const char *name) {
  require(length == 1 || length == n_series || n_series == 0,
          std::string(name) + ": got " + std::to_string(length) + " of them for " +
              std::to_string(n_series) + " series");
}

// Matrices of a batch with time axes, (N, T or 1, rows, cols), or nothing.
struct matrix_stack {
  matrix_view<const double> first;
  index series_stride = 0, time_stride = 0;
  index n_series = 1, n_times = 1;

  matrix_stack() = default;
  matrix_stack(const py::handle &given, const char *name) {
    if (given.is_none())
      return;
    const auto a = py::reinterpret_borrow<py::array>(given);
    first = {data_of<const double>(a, name, 4), a.shape(2), a.shape(3), stride_of<double>(a, 2),
             stride_of<double>(a, 3)};
    n_series = a.shape(0);
    n_times = a.shape(1);
    series_stride = n_series > 1 ? stride_of<double>(a, 0) : 0;
    time_stride = n_times > 1 ? stride_of<double>(a, 1) : 0;
  }
  matrix_view<const double> at(index series) const {
    matrix_view<const double> m = first;
    m.data += series * series_stride;
    return m;
  }
  vector_view<const double> vector_at(index series) const {
    const auto m = at(series);
    return {m.data, m.cols, m.col_stride};
  }
};

// (A, C, Q, R, cross_cov, B, D, state_offset, obs_offset), as the Python side packs systems;
// offsets are stacks of one row.
class system_stack {
public:
  explicit system_stack(const py::tuple &t) {
    require(t.size() == names_.size(), "system: want 9 arrays or None");
    for (std::size_t i = 0; i < names_.size(); ++i)
      part_[i] = matrix_stack(t[i], names_[i]);
  }
  index state_dim() const { return part_[0].first.rows; }
  index obs_dim() const { return part_[1].first.rows; }
  // Matrix i of names_, for the shapes of derivatives.
  const matrix_stack &part(std::size_t i) const { return part_[i]; }
  bool shared() const {
    return std::all_of(part_.begin(), part_.end(),
                       [](const matrix_stack &m) { return m.series_stride == 0; });
  }
  // For so many series of so many steps.
  void require_batch(index n_series, index n_steps) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      require_stack(part_[i].n_series, n_series, names_[i]);
      require(part_[i].n_times == 1 || part_[i].n_times >= n_steps,
              std::string(names_[i]) + ": got matrices for " + std::to_string(part_[i].n_times) +
                  " of " + std::to_string(n_steps) + " steps");
    }
  }
  lds::model at(index i) const {
    const auto &[A, C, Q, R, S, B, D, c, d] = part_;
    lds::model m{A.at(i),        C.at(i), Q.at(i), R.at(i), c.vector_at(i),
                 d.vector_at(i), S.at(i), B.at(i), D.at(i), {}};
    m.step = {A.time_stride, C.time_stride, Q.time_stride, R.time_stride, S.time_stride,
              c.time_stride, d.time_stride, B.time_stride, D.time_stride};
    return m;
  }

private:
  static constexpr std::array<const char *, 9> names_{
      "A", "C", "Q", "R", "cross_cov", "B", "D", "state_offset", "obs_offset"};
  std::array<matrix_stack, 9> part_;
};

// Rows of a batch, (N, T, width), or nothing.
template <class T> struct series_stack {
  matrix_view<T> first;
  index n_series = 0, stride = 0;
  const char *name = "";
  bool given = false;

  series_stack() = default;
  series_stack(const py::handle &array, const char *its_name) : name(its_name) {
    if (array.is_none())
      return;
    given = true;
    const auto a = py::reinterpret_borrow<py::array>(array);
    first = {data_of<T>(a, name, 3), a.shape(1), a.shape(2), stride_of<double>(a, 1),
             stride_of<double>(a, 2)};
    n_series = a.shape(0);
    stride = n_series > 1 ? stride_of<double>(a, 0) : 0;
  }
  void require_batch(index n) const {
    if (given)
      require_stack(n_series, n, name);
  }
  matrix_view<T> at(index i) const {
    matrix_view<T> m = first;
    m.data += i * stride;
    return m;
  }
};

inline std::vector<double> packed(const matrix_view<const double> m) {
  std::vector<double> out;
  for (index i = 0; i < m.rows; ++i)
    for (index j = 0; j < m.cols; ++j)
      out.push_back(m(i, j));
  return out;
}

// (mean, cov, diffuse) of a batch: (N, n), (N, n, n), (N, n, k). Columns of zeros only pad.
class start_stack {
public:
  explicit start_stack(const py::tuple &t)
      : mean_(t[0], "mean"), cov_(t[1], "cov"), diffuse_(t[2], "diffuse") {}
  void require_batch(index n) const {
    for (const auto *stack : {&mean_, &cov_, &diffuse_})
      stack->require_batch(n);
  }
  lds::belief at(index i) const {
    lds::belief b;
    b.mean = packed(mean_.at(i));
    b.cov = packed(cov_.at(i));
    const auto directions = diffuse_.at(i);
    const std::vector<index> used = columns(i);
    for (index row = 0; row < directions.rows; ++row)
      for (const index j : used)
        b.diffuse.push_back(directions(row, j));
    b.n_diffuse = static_cast<index>(used.size());
    return b;
  }
  // Which columns of `diffuse` are more than padding.
  std::vector<index> columns(index i) const {
    const auto directions = diffuse_.at(i);
    std::vector<index> used;
    for (index j = 0; j < directions.cols; ++j)
      for (index row = 0; row < directions.rows; ++row)
        if (directions(row, j) != 0) {
          used.push_back(j);
          break;
        }
    return used;
  }
  index width() const { return diffuse_.first.cols; }

private:
  series_stack<const double> mean_, cov_, diffuse_;
};

inline py::array_t<double> array_of(const std::vector<double> &values,
                                    std::vector<py::ssize_t> shape) {
  py::array_t<double> out(std::move(shape));
  std::copy(values.begin(), values.end(), out.mutable_data());
  return out;
}

// Position in the batch of the series that failed, at the end of the message.
[[noreturn]] inline void refuse_series(const lds::series_error &error,
                                       const py::tuple &batch_shape) {
  std::string place;
  index left = error.series;
  for (std::size_t axis = batch_shape.size(); axis-- > 0;) {
    const auto length = py::cast<index>(batch_shape[axis]);
    place = std::to_string(left % length) + (place.empty() ? "" : ", ") + place;
    left /= length;
  }
  if (batch_shape.size() == 0)
    throw argument_error(error.what());
  throw argument_error(std::string(error.what()) + " (series (" + place +
                       (batch_shape.size() == 1 ? ",))" : "))"));
}

// Steps done, to a Python callable that may be None; called on the thread that holds the call.
inline lds::progress_hook hook_of(const py::object &progress) {
  if (progress.is_none())
    return {};
  // The hook is copied, and dropped, on threads without the GIL.
  const std::shared_ptr<const py::object> held(new py::object(progress), [](const py::object *p) {
    const py::gil_scoped_acquire acquire;
    delete p;
  });
  return [held](index done) {
    const py::gil_scoped_acquire acquire;
    (*held)(done);
  };
}

} // namespace eigenflow::bindings
