// SPDX-License-Identifier: BSD-3-Clause
// Centred and weighted matrices, never formed.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>
#include <eigenflow/parallel.hpp>

#include <string>
#include <utility>

namespace eigenflow::svd {
namespace {

double factor(const std::vector<double> &factors, index i) {
  return factors.empty() ? 1.0 : factors[as_size(i)];
}

void require_length(const char *name, std::size_t length, index want) {
  require(length == 0 || length == as_size(want), std::string(name) + ": got " +
                                                      std::to_string(length) + " numbers, want " +
                                                      std::to_string(want) + " or none");
}

// For a matrix of this shape.
template <class T> weighting<T> fitting(weighting<T> weights, index rows, index cols) {
  require_length("row_factors", weights.row_factors.size(), rows);
  require_length("col_factors", weights.col_factors.size(), cols);
  require_length("mean", weights.mean.size(), cols);
  return weights;
}

index block_rows(index rows, index cols) {
  return std::clamp<index>((index{1} << 20) / std::max<index>(1, cols), 1,
                           std::max<index>(1, rows));
}

} // namespace

template <class T>
std::vector<wide_of<T>> column_means(const row_source<T> &source,
                                     const std::vector<double> &row_factors) {
  const index rows = source.rows(), cols = source.cols(), height = block_rows(rows, cols);
  require_length("row_factors", row_factors.size(), rows);
  std::vector<wide_of<T>> mean(as_size(cols));
  columns<T> scratch(cols, height);
  double total = 0;
  interrupt_poll poll;
  for (index begin = 0; begin < rows; begin += height, poll()) {
    const index n = std::min(height, rows - begin);
    const matrix_view<T> block = scratch.view(0, n).transposed();
    source.read(begin, block);
    for (index i = 0; i < n; ++i) {
      const double weight = factor(row_factors, begin + i) * factor(row_factors, begin + i);
      total += weight;
      for (index j = 0; j < cols; ++j)
        mean[as_size(j)] += weight * static_cast<wide_of<T>>(block(i, j));
    }
  }
  for (wide_of<T> &value : mean)
    value = total > 0 ? value / total : wide_of<T>(0);
  return mean;
}

template <class T> void memory_rows<T>::read(index begin, matrix_view<T> block) const {
  for (index i = 0; i < block.rows; ++i)
    for (index j = 0; j < block.cols; ++j)
      block(i, j) = a_(begin + i, j);
}

template <class T>
weighted_rows<T>::weighted_rows(const row_source<T> &source, weighting<T> weights)
    : source_(source), weights_(fitting(std::move(weights), source.rows(), source.cols())) {}

template <class T> void weighted_rows<T>::read(index begin, matrix_view<T> block) const {
  source_.read(begin, block);
  for (index i = 0; i < block.rows; ++i) {
    const double row = factor(weights_.row_factors, begin + i);
    for (index j = 0; j < block.cols; ++j) {
      wide_of<T> entry = static_cast<wide_of<T>>(block(i, j));
      if (!weights_.mean.empty())
        entry -= weights_.mean[as_size(j)];
      block(i, j) = static_cast<T>(entry * (row * factor(weights_.col_factors, j)));
    }
  }
}

template <class T>
weighted_operator<T>::weighted_operator(std::shared_ptr<const linear_operator<T>> a,
                                        weighting<T> weights, double norm)
    : a_(std::move(a)), weights_(fitting(std::move(weights), a_->rows(), a_->cols())),
      norm_(norm < 0 ? norm : norm * a_->scale()) {
  for (wide_of<T> &value : weights_.mean)
    value *= a_->scale();
}

template <class T>
void weighted_operator<T>::apply(matrix_view<const T> x, matrix_view<T> y) const {
  columns<T> held(x.rows, x.cols);
  const matrix_view<T> z = held.view(0, x.cols);
  for (index j = 0; j < x.cols; ++j)
    for (index i = 0; i < x.rows; ++i)
      z(i, j) = x(i, j) * static_cast<real_of<T>>(factor(weights_.col_factors, i));
  a_->apply(z, y);
  for (index j = 0; j < y.cols; ++j) {
    wide_of<T> shift = 0;
    for (index i = 0; i < (weights_.mean.empty() ? 0 : z.rows); ++i)
      shift += weights_.mean[as_size(i)] * static_cast<wide_of<T>>(z(i, j));
    for (index i = 0; i < y.rows; ++i)
      y(i, j) = static_cast<T>((static_cast<wide_of<T>>(y(i, j)) - shift) *
                               factor(weights_.row_factors, i));
  }
}

template <class T>
void weighted_operator<T>::apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const {
  columns<T> held(x.rows, x.cols);
  const matrix_view<T> g = held.view(0, x.cols);
  std::vector<wide_of<T>> sums(as_size(x.cols));
  for (index j = 0; j < x.cols; ++j)
    for (index i = 0; i < x.rows; ++i) {
      g(i, j) = x(i, j) * static_cast<real_of<T>>(factor(weights_.row_factors, i));
      sums[as_size(j)] += static_cast<wide_of<T>>(g(i, j));
    }
  a_->apply_adjoint(g, y);
  for (index j = 0; j < y.cols; ++j)
    for (index i = 0; i < y.rows; ++i) {
      wide_of<T> entry = static_cast<wide_of<T>>(y(i, j));
      if (!weights_.mean.empty())
        entry -= conjugate(weights_.mean[as_size(i)]) * sums[as_size(j)];
      y(i, j) = static_cast<T>(entry * factor(weights_.col_factors, i));
    }
}

#define EF_INSTANTIATE(T)                                                                          \
  template std::vector<wide_of<T>> column_means<T>(const row_source<T> &,                          \
                                                   const std::vector<double> &);                   \
  template class memory_rows<T>;                                                                   \
  template class weighted_rows<T>;                                                                 \
  template class weighted_operator<T>;
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
