// SPDX-License-Identifier: BSD-3-Clause
// A driver's calls, and its products again on their own: for bench/svd_products.py.
#include "arrays.hpp"
#include "modules.hpp"

#include <eigenflow/blas.hpp>
#include <eigenflow/call_log.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/svd.hpp>

#include <pybind11/stl.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace eigenflow::bindings {
namespace {

// One log for the thread that starts it.
thread_local std::unique_ptr<call_log> current;

void start() {
  current.reset();
  current = std::make_unique<call_log>();
}

// (name, bytes of a number, first operand by rows, rows, inner, cols, seconds) of each call.
py::list stop() {
  py::list out;
  if (current != nullptr)
    for (const logged_call &c : current->calls)
      out.append(
          py::make_tuple(c.name, c.scalar_bytes, c.by_rows, c.rows, c.inner, c.cols, c.seconds));
  current.reset();
  return out;
}

template <class T> struct block {
  block(index rows, index cols, bool by_rows, std::uint64_t key)
      : data(static_cast<std::size_t>(rows * cols)),
        view(by_rows ? row_major(data.data(), rows, cols) : col_major(data.data(), rows, cols)) {
    rng::fill_normals<T>(key, 0, 0, view, 1);
  }
  std::vector<T> data;
  matrix_view<T> view;
};

// Own products with Gaussian matrices of the same sizes and order. "adjoint product" and the Gram
// matrices have their first operand as inner x rows.
template <class T> std::vector<double> repeat_own(const logged_call &c, int rounds, int workers) {
  const std::string name = c.name;
  const bool turned = name == "adjoint product" || name == "Gram" || name == "quick Gram";
  const block<T> a(turned ? c.inner : c.rows, turned ? c.rows : c.inner, c.by_rows, 1);
  const svd::dense_operator<T> op(a.view, svd::magnitude{}, workers);
  const bool is_gram = name == "Gram" || name == "quick Gram";
  block<T> x(op.cols(), c.cols, false, 2), y(op.rows(), c.cols, false, 3);
  block<double> g(is_gram ? c.cols : 0, is_gram ? c.cols : 0, false, 4);
  call_log log;
  for (int round = 0; round < rounds; ++round) {
    if (name == "product")
      op.apply(x.view, y.view);
    else if (name == "adjoint product")
      op.apply_adjoint(y.view, x.view);
    else if (name == "both products")
      op.apply_both(x.view, y.view, x.view);
    else if (name == "Gram" || !op.quick_gram(g.view))
      op.gram(g.view);
  }
  std::vector<double> seconds;
  for (const logged_call &again : log.calls)
    seconds.push_back(again.seconds);
  return seconds;
}

template <class T> std::vector<double> repeat_blas(const logged_call &c, int rounds) {
  const bool is_syrk = std::string(c.name) == "syrk";
  const block<T> a(c.by_rows ? c.inner : c.rows, c.by_rows ? c.rows : c.inner, false, 1);
  const block<T> b(is_syrk ? 0 : c.inner, is_syrk ? 0 : c.cols, false, 2);
  block<T> out(c.rows, is_syrk ? c.rows : c.cols, false, 3);
  const auto op = c.by_rows ? blas::transpose::yes : blas::transpose::no;
  call_log log;
  for (int round = 0; round < rounds; ++round)
    if (is_syrk)
      blas::syrk<T>(blas::triangle::upper, op, 1, a.view, 0, out.view);
    else
      blas::gemm<T>(op, blas::transpose::no, T(1), a.view, b.view, T(0), out.view);
  std::vector<double> seconds;
  for (const logged_call &again : log.calls)
    seconds.push_back(again.seconds);
  return seconds;
}

bool is_own(const std::string &name) {
  return name == "product" || name == "adjoint product" || name == "both products" ||
         name == "Gram" || name == "quick Gram";
}

// Seconds of a product again, `rounds` times, on its own; empty for what is no product.
std::vector<double> repeat(const std::string &name, index scalar_bytes, bool by_rows, index rows,
                           index inner, index cols, int rounds, int workers) {
  constexpr index most = index{1} << 30; // their products are counted in 64 bits
  for (const index size : {rows, inner, cols})
    if (size < 0 || size > most)
      throw std::invalid_argument("rows, inner, cols: want 0 to 2^30");
  const logged_call call{name.c_str(), scalar_bytes, by_rows, rows, inner, cols, 0};
  const bool is_single = scalar_bytes == sizeof(float);
  const py::gil_scoped_release release;
  if (name == "gemm" || name == "syrk")
    return is_single ? repeat_blas<float>(call, rounds) : repeat_blas<double>(call, rounds);
  if (inner == 0 || !is_own(name))
    return {};
  return is_single ? repeat_own<float>(call, rounds, workers)
                   : repeat_own<double>(call, rounds, workers);
}

} // namespace

void register_call_log(py::module_ &m) {
  m.doc() = "What the drivers ask of BLAS, LAPACK and their own products, for benchmarks.";
  m.def("start", &start);
  m.def("stop", &stop);
  m.def("repeat", &repeat, py::arg("name"), py::arg("scalar_bytes"), py::arg("by_rows"),
        py::arg("rows"), py::arg("inner"), py::arg("cols"), py::arg("rounds"), py::arg("workers"));
}

} // namespace eigenflow::bindings
