// SPDX-License-Identifier: BSD-3-Clause
#include "svd_operators.hpp"

#include <eigenflow/svd.hpp>

#include <pybind11/stl.h>

#include <string>
#include <utility>

namespace eigenflow::bindings {
namespace {

void require_shape(index rows, index cols) {
  require(rows >= 0 && cols >= 0, "A: got " + std::to_string(rows) + " rows and " +
                                      std::to_string(cols) + " columns, want no negative number");
}

// Rows [begin, end) as a C-ordered array of the operator's type, from a Python function. Its
// exceptions pass through the driver to the caller; the driver runs without the GIL.
template <class T> class python_rows final : public svd::row_source<T> {
public:
  python_rows(py::function read, index rows, index cols)
      : read_(std::move(read)), rows_(rows), cols_(cols) {
    require_shape(rows, cols);
  }
  index rows() const override { return rows_; }
  index cols() const override { return cols_; }
  void read(index begin, matrix_view<T> block) const override {
    const py::gil_scoped_acquire gil;
    const py::array got = read_(begin, begin + block.rows);
    const auto part = matrix_of<const T>(got, "A");
    require(part.rows == block.rows && part.cols == block.cols, "A: a block of a wrong shape");
    for (index i = 0; i < block.rows; ++i)
      for (index j = 0; j < block.cols; ++j)
        block(i, j) = part(i, j);
  }

private:
  py::function read_;
  index rows_, cols_;
};

// Rows and the operator over them, together.
template <class T> struct row_stream {
  row_stream(py::function read, index rows, index cols, const svd::magnitude &size, int workers)
      : source(std::move(read), rows, cols), op(source, size, workers) {}
  python_rows<T> source;
  svd::row_operator<T> op;
};

// Products by Python functions of one C-ordered block. They get a copy, so that they may keep it.
template <class T> class python_products final : public svd::linear_operator<T> {
public:
  python_products(py::function matmat, py::function rmatmat, index rows, index cols, double norm,
                  double scale)
      : matmat_(std::move(matmat)), rmatmat_(std::move(rmatmat)), rows_(rows), cols_(cols),
        norm_(norm), scale_(scale) {
    require_shape(rows, cols);
  }
  index rows() const override { return rows_; }
  index cols() const override { return cols_; }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override { call(matmat_, x, y); }
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override {
    call(rmatmat_, x, y);
  }
  double frobenius_norm() const override { return norm_; }
  double scale() const override { return scale_; }

private:
  static void call(const py::function &product, matrix_view<const T> x, matrix_view<T> y) {
    const py::gil_scoped_acquire gil;
    py::array_t<T> block({x.rows, x.cols});
    T *data = block.mutable_data();
    for (index i = 0; i < x.rows; ++i)
      for (index j = 0; j < x.cols; ++j)
        data[i * x.cols + j] = x(i, j);
    const py::array got = product(std::move(block));
    const auto image = matrix_of<const T>(got, "A");
    require(image.rows == y.rows && image.cols == y.cols, "A: a product of a wrong shape");
    for (index j = 0; j < y.cols; ++j)
      for (index i = 0; i < y.rows; ++i)
        y(i, j) = image(i, j);
    if (PyErr_CheckSignals() != 0)
      throw py::error_already_set();
  }
  py::function matmat_, rmatmat_;
  index rows_, cols_;
  double norm_, scale_;
};

svd::magnitude magnitude_of(const py::tuple &size) {
  return {size[0].cast<double>(), size[1].cast<double>(), size[2].cast<double>(),
          size[3].cast<bool>()};
}

py::tuple to_tuple(const svd::magnitude &size) {
  return py::make_tuple(size.norm, size.scale, size.scaled_norm, size.finite);
}

py::tuple measure(const py::array &a, int workers) {
  return with_scalar_type(a.dtype(), [&](auto zero) {
    const auto view = matrix_of<const decltype(zero)>(a, "A");
    svd::magnitude size;
    {
      const py::gil_scoped_release release;
      size = svd::measure(view, workers);
    }
    return to_tuple(size);
  });
}

py::tuple measure_rows(const py::function &read, index rows, index cols, const py::dtype &type,
                       int workers) {
  return with_scalar_type(type, [&](auto zero) {
    using T = decltype(zero);
    const python_rows<T> source(read, rows, cols);
    svd::magnitude size;
    {
      const py::gil_scoped_release release;
      size = svd::measure<T>(source, workers);
    }
    return to_tuple(size);
  });
}

operator_handle dense(const py::array &a, const py::tuple &size, bool streamed, int workers) {
  return with_scalar_type(a.dtype(), [&](auto zero) -> operator_handle {
    using T = decltype(zero);
    const auto view = matrix_of<const T>(a, "A");
    return {std::make_shared<svd::dense_operator<T>>(view, magnitude_of(size), workers, streamed),
            a};
  });
}

operator_handle row_blocks(const py::function &read, index rows, index cols, const py::dtype &type,
                           const py::tuple &size, int workers) {
  return with_scalar_type(type, [&](auto zero) -> operator_handle {
    using T = decltype(zero);
    const auto stream =
        std::make_shared<row_stream<T>>(read, rows, cols, magnitude_of(size), workers);
    return {std::shared_ptr<svd::linear_operator<T>>(stream, &stream->op), py::none()};
  });
}

operator_handle products(const py::function &matmat, const py::function &rmatmat, index rows,
                         index cols, const py::dtype &type, double norm, double scale) {
  return with_scalar_type(type, [&](auto zero) -> operator_handle {
    using T = decltype(zero);
    return {std::make_shared<python_products<T>>(matmat, rmatmat, rows, cols, norm, scale),
            py::none()};
  });
}

template <class T> struct weighted_stream {
  weighted_stream(std::unique_ptr<svd::row_source<T>> from, svd::weighting<T> weights)
      : base(std::move(from)), rows(*base, std::move(weights)) {}
  std::unique_ptr<svd::row_source<T>> base;
  svd::weighted_rows<T> rows;
  std::unique_ptr<svd::row_operator<T>> op;
};

template <class T>
py::tuple weighted_stream_of(std::unique_ptr<svd::row_source<T>> source, py::object owner,
                             std::vector<double> row_factors, std::vector<double> col_factors,
                             bool center, bool streamed, int workers) {
  std::vector<wide_of<T>> mean;
  svd::magnitude size;
  std::shared_ptr<weighted_stream<T>> stream;
  {
    const py::gil_scoped_release release;
    if (center)
      mean = svd::column_means<T>(*source, row_factors);
    stream = std::make_shared<weighted_stream<T>>(
        std::move(source), svd::weighting<T>{std::move(row_factors), std::move(col_factors), mean});
    size = svd::measure<T>(stream->rows, workers);
    stream->op = std::make_unique<svd::row_operator<T>>(stream->rows, size, workers, streamed);
  }
  py::array_t<wide_of<T>> means(static_cast<py::ssize_t>(mean.size()));
  std::copy(mean.begin(), mean.end(), means.mutable_data());
  operator_handle handle{std::shared_ptr<svd::linear_operator<T>>(stream, stream->op.get()),
                         std::move(owner)};
  return py::make_tuple(std::move(handle), to_tuple(size), means);
}

py::tuple weighted_dense(const py::array &a, const std::vector<double> &row_factors,
                         const std::vector<double> &col_factors, bool center, bool streamed,
                         int workers) {
  return with_scalar_type(a.dtype(), [&](auto zero) {
    using T = decltype(zero);
    return weighted_stream_of<T>(std::make_unique<svd::memory_rows<T>>(matrix_of<const T>(a, "A")),
                                 a, row_factors, col_factors, center, streamed, workers);
  });
}

py::tuple weighted_blocks(const py::function &read, index rows, index cols, const py::dtype &type,
                          const std::vector<double> &row_factors,
                          const std::vector<double> &col_factors, bool center, int workers) {
  return with_scalar_type(type, [&](auto zero) {
    using T = decltype(zero);
    return weighted_stream_of<T>(std::make_unique<python_rows<T>>(read, rows, cols), py::none(),
                                 row_factors, col_factors, center, true, workers);
  });
}

operator_handle weighted(const operator_handle &a, std::vector<double> row_factors,
                         std::vector<double> col_factors, const py::array &mean, double norm) {
  return std::visit(
      [&]<class T>(const std::shared_ptr<svd::linear_operator<T>> &op) -> operator_handle {
        const auto view = vector_of<const wide_of<T>>(mean, "mean");
        std::vector<wide_of<T>> means(static_cast<std::size_t>(view.size));
        for (index j = 0; j < view.size; ++j)
          means[static_cast<std::size_t>(j)] = view[j];
        svd::weighting<T> weights{std::move(row_factors), std::move(col_factors), std::move(means)};
        return {std::make_shared<svd::weighted_operator<T>>(op, std::move(weights), norm), a.owner};
      },
      a.held);
}

} // namespace

void register_svd_operators(py::module_ &m) {
  py::class_<operator_handle>(m, "Operator");
  m.def("measure", &measure, py::arg("A"), py::arg("workers"));
  m.def("measure_rows", &measure_rows, py::arg("read"), py::arg("rows"), py::arg("cols"),
        py::arg("dtype"), py::arg("workers"));
  m.def("dense", &dense, py::arg("A"), py::arg("size"), py::arg("streamed"), py::arg("workers"));
  m.def("row_blocks", &row_blocks, py::arg("read"), py::arg("rows"), py::arg("cols"),
        py::arg("dtype"), py::arg("size"), py::arg("workers"));
  m.def("products", &products, py::arg("matmat"), py::arg("rmatmat"), py::arg("rows"),
        py::arg("cols"), py::arg("dtype"), py::arg("norm"), py::arg("scale"));
  m.def("weighted_dense", &weighted_dense, py::arg("A"), py::arg("row_factors"),
        py::arg("col_factors"), py::arg("center"), py::arg("streamed"), py::arg("workers"));
  m.def("weighted_blocks", &weighted_blocks, py::arg("read"), py::arg("rows"), py::arg("cols"),
        py::arg("dtype"), py::arg("row_factors"), py::arg("col_factors"), py::arg("center"),
        py::arg("workers"));
  m.def("weighted", &weighted, py::arg("A"), py::arg("row_factors"), py::arg("col_factors"),
        py::arg("mean"), py::arg("norm"));
}

} // namespace eigenflow::bindings
