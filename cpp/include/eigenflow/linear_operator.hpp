// SPDX-License-Identifier: BSD-3-Clause
// A matrix that is known by its products, which is all that the svd driver needs: memory, rows that
// come in blocks, and whatever a program derives from linear_operator. T is float, double or a
// complex type of those. All blocks are packed column-major views.
#pragma once

#include <eigenflow/communicator.hpp>
#include <eigenflow/scalars.hpp>
#include <eigenflow/views.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace eigenflow::svd {

template <class T> class linear_operator {
public:
  virtual ~linear_operator() = default;
  virtual index rows() const = 0;
  virtual index cols() const = 0;
  virtual void apply(matrix_view<const T> x, matrix_view<T> y) const = 0;         // y = A x
  virtual void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const = 0; // y = A^H x

  // y = A x, w = A^H y.
  virtual void apply_both(matrix_view<const T> x, matrix_view<T> y, matrix_view<T> w) const {
    apply(x, y);
    apply_adjoint(y, w);
  }
  // w = A^H A x, where A x is not wanted.
  virtual void apply_gram(matrix_view<const T> x, matrix_view<T> w) const;
  // y = A x, w = A^H G with a Gaussian G of w.cols columns: those from `first_col` on of the matrix
  // that key makes.
  virtual void sketch(matrix_view<const T> x, std::uint64_t key, index first_col, int workers,
                      matrix_view<T> y, matrix_view<T> w) const;
  // g = (A x)^H (A x), full, in double precision.
  virtual void image_gram(matrix_view<const T> x, matrix_view<wide_of<T>> g) const;
  // g = A^H A, in double precision.
  virtual void gram(matrix_view<wide_of<T>> g) const;
  // The same with the rounding of T; false where that is not faster.
  virtual bool quick_gram(matrix_view<wide_of<T>>) const { return false; }
  // Every entry, column-major. The default applies A to the identity.
  virtual void to_dense(matrix_view<T> out) const;
  // Some columns of A, in this order; the default applies A to unit vectors.
  virtual void gather(std::span<const index> which, matrix_view<T> out) const;
  virtual std::unique_ptr<linear_operator<T>> adjoint() const;

  // Negative while it is not known.
  virtual double frobenius_norm() const { return -1; }
  // What the user's matrix was multiplied with to become this one.
  virtual double scale() const { return 1; }
  // The functions above that do two things read A once for both.
  virtual bool reads_once() const { return false; }
  // What joins the ranks when each holds a block of the rows of A. rows() and the long vectors are
  // then those of this rank, and sums over rows need the other ranks.
  virtual const rank_group *ranks() const { return nullptr; }
  virtual index all_rows() const { return rows(); }
  virtual index first_row() const { return 0; } // of this rank's block
  // Memory for the rows of A is scarce: the driver keeps none but the results.
  virtual bool is_streamed() const { return false; }
};

// The norm and a power of two that brings a matrix of extreme scale back to the middle of the
// range, where squares neither overflow nor vanish; 1 for ordinary matrices.
struct magnitude {
  double norm = -1; // Frobenius; infinite when it exceeds the largest double, negative when unknown
  double scale = 1; // apply to the matrix before working on it
  double scaled_norm = -1;
  bool finite = true; // every entry
};

// One pass over the matrix, two when its scale is extreme. The same bytes for any workers.
template <class T> magnitude measure(matrix_view<const T> a, int workers = 0);

// A matrix whose rows come in panels. Each product is one read of it, a panel at a time: the piece
// that is in cache when it is used twice, and the longest time between two looks at Ctrl-C.
template <class T> class panel_operator : public linear_operator<T> {
public:
  index rows() const override { return rows_; }
  index cols() const override { return cols_; }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_both(matrix_view<const T> x, matrix_view<T> y, matrix_view<T> w) const override;
  void apply_gram(matrix_view<const T> x, matrix_view<T> w) const override;
  void sketch(matrix_view<const T> x, std::uint64_t key, index first_col, int workers,
              matrix_view<T> y, matrix_view<T> w) const override;
  void image_gram(matrix_view<const T> x, matrix_view<wide_of<T>> g) const override;
  void gram(matrix_view<wide_of<T>> g) const override;
  void to_dense(matrix_view<T> out) const override;
  void gather(std::span<const index> which, matrix_view<T> out) const override;
  bool reads_once() const override { return true; }

protected:
  panel_operator(index rows, index cols, int workers, bool conjugated)
      : rows_(rows), cols_(cols), workers_(workers), conjugated_(conjugated) {}
  // Rows [begin, begin + scratch.rows): a view with a unit stride of memory that lasts, or
  // `scratch`, which is row-major. Conjugation is not its business.
  virtual matrix_view<const T> panel(index begin, matrix_view<T> scratch) const = 0;
  // Panels are views of memory: no scratch is made.
  virtual bool in_place() const = 0;
  virtual double panel_bytes() const = 0;
  bool conjugated() const { return conjugated_; }
  int workers() const { return workers_; }

private:
  template <class Body> void for_panels(index block_cols, Body &&body) const;
  index rows_, cols_;
  int workers_;
  bool conjugated_;
};

// Memory in C or Fortran order is used in place; a scale other than 1, and other strides where BLAS
// is called, are copied panel by panel at each product. Real products run on our own kernels, which
// give the same bytes for any workers. `streamed` is for mapped files.
template <class T> class dense_operator final : public panel_operator<T> {
public:
  explicit dense_operator(matrix_view<const T> a, const magnitude &size, int workers = 0,
                          bool streamed = false, bool conjugated = false);
  void apply(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_both(matrix_view<const T> x, matrix_view<T> y, matrix_view<T> w) const override;
  void apply_gram(matrix_view<const T> x, matrix_view<T> w) const override;
  void gram(matrix_view<wide_of<T>> g) const override;
  bool quick_gram(matrix_view<wide_of<T>> g) const override;
  std::unique_ptr<linear_operator<T>> adjoint() const override;
  double frobenius_norm() const override { return size_.scaled_norm; }
  double scale() const override { return size_.scale; }
  bool is_streamed() const override { return streamed_; }

private:
  matrix_view<const T> panel(index begin, matrix_view<T> scratch) const override;
  bool in_place() const override;
  double panel_bytes() const override;
  bool in_one_sweep() const;
  matrix_view<const T> a_;
  magnitude size_;
  bool streamed_;
};

// Rows of a matrix, in blocks and in order: a file, a database, an object of another language.
template <class T> class row_source {
public:
  virtual ~row_source() = default;
  virtual index rows() const = 0;
  virtual index cols() const = 0;
  // Fills block (row-major) with the rows from `begin` on.
  virtual void read(index begin, matrix_view<T> block) const = 0;
};

// One pass over the rows.
template <class T> magnitude measure(const row_source<T> &source, int workers = 0);

// Each product reads every row once. The source must outlive the operator.
template <class T> class row_operator final : public panel_operator<T> {
public:
  row_operator(const row_source<T> &source, const magnitude &size, int workers = 0,
               bool streamed = true);
  double frobenius_norm() const override { return size_.scaled_norm; }
  double scale() const override { return size_.scale; }
  bool is_streamed() const override { return streamed_; }

private:
  matrix_view<const T> panel(index begin, matrix_view<T> scratch) const override;
  bool in_place() const override { return false; }
  double panel_bytes() const override;
  const row_source<T> &source_;
  magnitude size_;
  bool streamed_;
};

// diag(row_factors) (A - 1 mean^T) diag(col_factors); empty vectors stand for ones, and zeros.
template <class T> struct weighting {
  std::vector<double> row_factors, col_factors;
  std::vector<wide_of<T>> mean;
};

// The means of the columns; with row factors, those with their squares as weights, which make the
// norm of the weighted matrix least. One pass.
template <class T>
std::vector<wide_of<T>> column_means(const row_source<T> &source,
                                     const std::vector<double> &row_factors);

// The rows of memory, of any strides.
template <class T> class memory_rows final : public row_source<T> {
public:
  explicit memory_rows(matrix_view<const T> a) : a_(a) {}
  index rows() const override { return a_.rows; }
  index cols() const override { return a_.cols; }
  void read(index begin, matrix_view<T> block) const override;

private:
  matrix_view<const T> a_;
};

// Rows of the weighted matrix: entries are centred before they are rounded, so that a mean far
// above the deviations costs no digits. The source must outlive this.
template <class T> class weighted_rows final : public row_source<T> {
public:
  weighted_rows(const row_source<T> &source, weighting<T> weights);
  index rows() const override { return source_.rows(); }
  index cols() const override { return source_.cols(); }
  void read(index begin, matrix_view<T> block) const override;

private:
  const row_source<T> &source_;
  weighting<T> weights_;
};

// The weighted matrix of any operator, with the mean as a rank-one update: its rounding is that of
// products with the mean. `norm` is that of the weighted matrix in the units of the user's matrix.
template <class T> class weighted_operator final : public linear_operator<T> {
public:
  weighted_operator(std::shared_ptr<const linear_operator<T>> a, weighting<T> weights, double norm);
  index rows() const override { return a_->rows(); }
  index cols() const override { return a_->cols(); }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override;
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override;
  double frobenius_norm() const override { return norm_; }
  double scale() const override { return a_->scale(); }

private:
  std::shared_ptr<const linear_operator<T>> a_;
  weighting<T> weights_;
  double norm_;
};

} // namespace eigenflow::svd
