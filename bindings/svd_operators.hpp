// SPDX-License-Identifier: BSD-3-Clause
// The matrices that Python hands to the svd driver, as one class for all four types of number.
#pragma once

#include "arrays.hpp"

#include <eigenflow/svd.hpp>

#include <memory>
#include <variant>

namespace eigenflow::bindings {

// Lives in Python, so that everything it refers to is released with the GIL held.
struct operator_handle {
  template <class T> using pointer = std::shared_ptr<svd::linear_operator<T>>;
  std::variant<pointer<float>, pointer<double>, pointer<std::complex<float>>,
               pointer<std::complex<double>>>
      held;
  py::object owner; // memory, or whatever else must outlive the operator
};

// As Python names it.
inline const char *name_of(svd::error_kind kind) {
  static constexpr const char *names[] = {"tail-energy", "hold-out", "leave-one-out", "next-value",
                                          "power-bound"};
  return names[static_cast<int>(kind)];
}

// Parts of the submodule svd.
void register_svd_operators(py::module_ &m);
void register_svd_products(py::module_ &m);
void register_eigh(py::module_ &m);
void register_interpolative(py::module_ &m);

} // namespace eigenflow::bindings
