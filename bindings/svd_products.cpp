// SPDX-License-Identifier: BSD-3-Clause
// Single products with a matrix, for drivers that hold it in pieces.
#include "svd_operators.hpp"

#include <algorithm>

namespace eigenflow::bindings {
namespace {

// A packed block of columns, which is all that operators take.
template <class T>
matrix_view<T> columns_of(const py::array &a, const char *name, index rows, index cols) {
  const auto view = matrix_of<T>(a, name);
  require(view.rows == rows && view.cols == cols, std::string(name) + ": wrong shape");
  require(view.row_stride == 1 || rows <= 1 || cols == 0,
          std::string(name) + ": want Fortran order");
  require(view.col_stride == rows || cols <= 1 || rows <= 1,
          std::string(name) + ": want packed columns");
  return {view.data, rows, cols, 1, std::max<index>(1, rows)};
}

// Kernels want something to work on: without rows, columns or vectors a product is zero.
template <class T> bool is_empty(const svd::linear_operator<T> &op, matrix_view<T> product) {
  if (op.rows() > 0 && op.cols() > 0 && product.cols > 0)
    return false;
  std::fill_n(product.data, product.rows * product.cols, T(0));
  return true;
}

void apply(const operator_handle &a, const py::array &x, const py::array &y) {
  std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) {
        const index width = x.ndim() == 2 ? x.shape(1) : 0;
        const auto from = columns_of<const T>(x, "x", op->cols(), width);
        const auto to = columns_of<T>(y, "y", op->rows(), width);
        const py::gil_scoped_release release;
        if (!is_empty(*op, to))
          op->apply(from, to);
      },
      a.held);
}

void apply_gram(const operator_handle &a, const py::array &x, const py::array &w) {
  std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) {
        const index width = x.ndim() == 2 ? x.shape(1) : 0;
        const auto from = columns_of<const T>(x, "x", op->cols(), width);
        const auto to = columns_of<T>(w, "w", op->cols(), width);
        const py::gil_scoped_release release;
        if (!is_empty(*op, to))
          op->apply_gram(from, to);
      },
      a.held);
}

} // namespace

void register_svd_products(py::module_ &m) {
  m.def("apply", &apply, py::arg("A"), py::arg("x"), py::arg("y"));
  m.def("apply_gram", &apply_gram, py::arg("A"), py::arg("x"), py::arg("w"));
}

} // namespace eigenflow::bindings
