// SPDX-License-Identifier: BSD-3-Clause
// What an operator does when it does not say otherwise.
#include "svd_detail.hpp"

#include <numeric>

namespace eigenflow::svd {
namespace {

template <class T> class adjoint_operator final : public linear_operator<T> {
public:
  explicit adjoint_operator(const linear_operator<T> &a) : a_(a) {}
  index rows() const override { return a_.cols(); }
  index cols() const override { return a_.rows(); }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override { a_.apply_adjoint(x, y); }
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override { a_.apply(x, y); }
  // One read of a matrix that has entries; else as many products as there are columns here.
  void to_dense(matrix_view<T> out) const override {
    if (!a_.reads_once())
      return linear_operator<T>::to_dense(out);
    columns<T> whole(a_.rows(), a_.cols());
    const matrix_view<T> entries = whole.view(0, a_.cols());
    a_.to_dense(entries);
    for (index j = 0; j < out.cols; ++j)
      for (index i = 0; i < out.rows; ++i)
        out(i, j) = conjugate(entries(j, i));
  }
  double frobenius_norm() const override { return a_.frobenius_norm(); }
  double scale() const override { return a_.scale(); }
  bool is_streamed() const override { return a_.is_streamed(); }

private:
  const linear_operator<T> &a_;
};

} // namespace

template <class T>
void linear_operator<T>::apply_gram(matrix_view<const T> x, matrix_view<T> w) const {
  columns<T> image(rows(), x.cols);
  apply_both(x, image.view(0, x.cols), w);
}

template <class T>
void linear_operator<T>::sketch(matrix_view<const T> x, std::uint64_t key, index first_col,
                                int workers, matrix_view<T> y, matrix_view<T> w) const {
  columns<T> gaussian(rows(), w.cols);
  fill_gaussian<T>(key, 0, first_col, gaussian.view(0, w.cols), workers);
  apply(x, y);
  apply_adjoint(gaussian.view(0, w.cols), w);
}

template <class T>
void linear_operator<T>::image_gram(matrix_view<const T> x, matrix_view<wide_of<T>> g) const {
  columns<T> image(rows(), x.cols);
  apply(x, image.view(0, x.cols));
  svd::gram<T>(image.view(0, x.cols), g, 1);
}

template <class T> void linear_operator<T>::gram(matrix_view<wide_of<T>> g) const {
  columns<T> whole(rows(), cols());
  to_dense(whole.view(0, cols()));
  svd::gram<T>(whole.view(0, cols()), g, 1);
}

template <class T> void linear_operator<T>::to_dense(matrix_view<T> out) const {
  std::vector<index> all(as_size(cols()));
  std::iota(all.begin(), all.end(), index{0});
  gather(all, out);
}

template <class T>
void linear_operator<T>::gather(std::span<const index> which, matrix_view<T> out) const {
  constexpr index width = 64;
  columns<T> units(cols(), std::min(width, out.cols));
  for (index begin = 0; begin < out.cols; begin += width) {
    const index n = std::min(width, out.cols - begin);
    const matrix_view<T> x = units.view(0, n);
    for (index j = 0; j < n; ++j) {
      std::fill_n(&x(0, j), x.rows, T(0));
      x(which[as_size(begin + j)], j) = T(1);
    }
    apply(x, out.block(0, begin, rows(), n));
  }
}

template <class T> std::unique_ptr<linear_operator<T>> linear_operator<T>::adjoint() const {
  return std::make_unique<adjoint_operator<T>>(*this);
}

#define EF_INSTANTIATE(T) template class linear_operator<T>;
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
