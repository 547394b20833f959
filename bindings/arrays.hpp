// SPDX-License-Identifier: BSD-3-Clause
// NumPy arrays as views. Python has validated shapes and dtypes with the user's names; the checks
// here only keep a wrong call of _core from becoming a wrong memory access.
#pragma once

#include <eigenflow/errors.hpp>
#include <eigenflow/views.hpp>

#include <pybind11/complex.h>
#include <pybind11/numpy.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace eigenflow::bindings {

namespace py = pybind11;

template <class T> T *data_of(const py::array &a, const char *name, py::ssize_t n_dims) {
  using value = std::remove_const_t<T>;
  require(py::isinstance<py::array_t<value>>(a), std::string(name) + ": wrong dtype");
  require(a.ndim() == n_dims, std::string(name) + ": want " + std::to_string(n_dims) +
                                  " dimensions, got " + std::to_string(a.ndim()));
  for (py::ssize_t axis = 0; axis < n_dims; ++axis)
    require(a.strides(axis) % static_cast<py::ssize_t>(sizeof(T)) == 0,
            std::string(name) + ": misaligned strides");
  require(a.size() == 0 || reinterpret_cast<std::uintptr_t>(a.data()) % alignof(value) == 0,
          std::string(name) + ": misaligned memory");
  if constexpr (std::is_const_v<T>) {
    return static_cast<T *>(a.data());
  } else {
    require(a.writeable(), std::string(name) + ": not writeable");
    return static_cast<T *>(const_cast<void *>(a.data()));
  }
}

template <class T> index stride_of(const py::array &a, py::ssize_t axis) {
  return a.strides(axis) / static_cast<py::ssize_t>(sizeof(T));
}

// T = const double for inputs, double for outputs.
template <class T> vector_view<T> vector_of(const py::array &a, const char *name) {
  T *data = data_of<T>(a, name, 1);
  return {data, a.shape(0), stride_of<T>(a, 0)};
}

template <class T> matrix_view<T> matrix_of(const py::array &a, const char *name) {
  T *data = data_of<T>(a, name, 2);
  return {data, a.shape(0), a.shape(1), stride_of<T>(a, 0), stride_of<T>(a, 1)};
}

// The array owns the vector: nothing is copied. Packed columns; NumPy wants rows of V as Vh.
template <class T, class A>
py::array owned(std::vector<T, A> &&values, index rows, index cols, bool by_rows) {
  auto *held = new std::vector<T, A>(std::move(values));
  const py::capsule owner(held, [](void *p) { delete static_cast<std::vector<T, A> *>(p); });
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  const std::vector<py::ssize_t> strides = by_rows ? std::vector<py::ssize_t>{cols * size, size}
                                                   : std::vector<py::ssize_t>{size, rows * size};
  return py::array(py::dtype::of<T>(), {rows, cols}, strides, held->data(), owner);
}

template <class T, class A> py::array owned(std::vector<T, A> &&values) {
  const index n = static_cast<index>(values.size());
  return owned(std::move(values), n, 1, false).reshape({n});
}

// Calls body with a float or a double zero, by the dtype of the array: `decltype` names the type
// inside.
template <class Body> decltype(auto) with_float_type(const py::array &a, Body &&body) {
  if (py::isinstance<py::array_t<float>>(a))
    return body(float{});
  return body(double{});
}

// The same for float, double and their complex types, by a dtype.
template <class Body> decltype(auto) with_scalar_type(const py::dtype &type, Body &&body) {
  if (type.kind() == 'c')
    return type.itemsize() == sizeof(std::complex<float>) ? body(std::complex<float>{})
                                                          : body(std::complex<double>{});
  return type.itemsize() == sizeof(float) ? body(float{}) : body(double{});
}

} // namespace eigenflow::bindings
