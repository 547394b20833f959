// SPDX-License-Identifier: BSD-3-Clause
// A matrix whose rows are spread over ranks. Each rank runs the driver on its own block: the short
// space is the same on every rank, the long vectors are cut like the rows, and what is summed over
// rows is summed over the ranks, a few columns at a time.
#include "svd_detail.hpp"

#include <eigenflow/errors.hpp>

namespace eigenflow::svd {
namespace {

template <class T> std::span<real_of<T>> parts_of(T *data, index count) {
  constexpr index parts = is_complex<T> ? 2 : 1;
  return {reinterpret_cast<real_of<T> *>(data), as_size(parts * count)};
}

template <class T> class shared_rows final : public linear_operator<T> {
  using W = wide_of<T>;

public:
  shared_rows(const linear_operator<T> &block, const rank_group &ranks, index all_rows,
              index first_row, double norm)
      : block_(block), ranks_(ranks), all_rows_(all_rows), first_row_(first_row), norm_(norm) {}
  index rows() const override { return block_.rows(); }
  index cols() const override { return block_.cols(); }
  void apply(matrix_view<const T> x, matrix_view<T> y) const override { block_.apply(x, y); }
  void apply_adjoint(matrix_view<const T> x, matrix_view<T> y) const override {
    block_.apply_adjoint(x, y);
    sum_over(&ranks_, y);
  }
  void apply_both(matrix_view<const T> x, matrix_view<T> y, matrix_view<T> w) const override {
    block_.apply_both(x, y, w);
    sum_over(&ranks_, w);
  }
  void apply_gram(matrix_view<const T> x, matrix_view<T> w) const override {
    block_.apply_gram(x, w);
    sum_over(&ranks_, w);
  }
  void image_gram(matrix_view<const T> x, matrix_view<W> g) const override {
    block_.image_gram(x, g);
    sum_over(&ranks_, g);
  }
  void gram(matrix_view<W> g) const override {
    block_.gram(g);
    sum_over(&ranks_, g);
  }
  bool quick_gram(matrix_view<W> g) const override {
    std::int64_t quick = block_.quick_gram(g) ? 1 : 0;
    ranks_.allreduce(std::span(&quick, 1), reduction::min);
    if (quick != 0)
      sum_over(&ranks_, g);
    return quick != 0;
  }
  void to_dense(matrix_view<T> out) const override { block_.to_dense(out); }
  double frobenius_norm() const override { return norm_; }
  double scale() const override { return block_.scale(); }
  bool reads_once() const override { return block_.reads_once(); }
  bool is_streamed() const override { return block_.is_streamed(); }
  const rank_group *ranks() const override { return &ranks_; }
  index all_rows() const override { return all_rows_; }
  index first_row() const override { return first_row_; }

private:
  const linear_operator<T> &block_;
  const rank_group &ranks_;
  index all_rows_, first_row_;
  double norm_;
};

// Rows of each rank, and this rank's place among them.
struct layout {
  layout(const rank_group &ranks, index rows) : counts(as_size(ranks.size()), 0) {
    counts[as_size(ranks.rank())] = rows;
    ranks.allreduce(std::span<std::int64_t>(counts), reduction::sum);
    for (std::size_t r = 0; r < counts.size(); ++r) {
      if (r < as_size(ranks.rank()))
        first += counts[r];
      total += counts[r];
    }
  }
  std::vector<std::int64_t> counts;
  index first = 0, total = 0;
};

// The magnitude of all blocks, with the one scale that all ranks work in. A block's norm is
// scaled_norm / scale, which may itself be out of range.
template <class T> magnitude join(const rank_group &ranks, const magnitude &block) {
  std::int64_t exponent = block.scaled_norm > 0
                              ? std::ilogb(block.scaled_norm) - std::ilogb(block.scale)
                              : std::int64_t{-5000};
  ranks.allreduce(std::span(&exponent, 1), reduction::max);
  const double toward =
      std::ldexp(1.0, -static_cast<int>(std::clamp<std::int64_t>(exponent, -1020, 1020)));
  const double ratio = toward / block.scale;
  const double part = block.scaled_norm * ratio;
  const double norm = std::sqrt(sum_over(&ranks, part * part));
  magnitude all;
  all.norm = norm / toward;
  const bool plain = exponent <= -5000 || ordinary<T>(all.norm);
  all.scale = plain ? 1 : toward;
  all.scaled_norm = plain ? all.norm : norm;
  return all;
}

// A with fewer rows than columns, whole, on every rank; its left vectors are cut again.
template <class T>
result<T> decompose_whole(matrix_view<const T> block, const layout &rows, const options &options,
                          const rank_group &ranks) {
  columns<T> held(rows.total, block.cols);
  const matrix_view<T> whole = held.view(0, block.cols);
  std::fill_n(whole.data, rows.total * block.cols, T(0));
  copy(block, whole.block(rows.first, 0, block.rows, block.cols));
  sum_over(&ranks, whole);
  result<T> out = decompose<T>(matrix_view<const T>(whole),
                               measure<T>(matrix_view<const T>(whole), options.workers), options);
  page_vector<T> part(as_size(block.rows * out.rank));
  for (index j = 0; j < out.rank; ++j)
    std::copy_n(out.u.begin() + j * rows.total + rows.first, block.rows,
                part.begin() + j * block.rows);
  out.u.swap(part);
  return out;
}

} // namespace

template <class T> void sum_over(const rank_group *ranks, matrix_view<T> x) {
  if (ranks == nullptr || ranks->size() == 1)
    return;
  if (x.row_stride == 1 && (x.col_stride == x.rows || x.cols == 1))
    return ranks->allreduce(parts_of(x.data, x.rows * x.cols), reduction::sum);
  columns<T> held(x.rows, x.cols);
  const matrix_view<T> packed_x = held.view(0, x.cols);
  copy(x, packed_x);
  ranks->allreduce(parts_of(packed_x.data, x.rows * x.cols), reduction::sum);
  copy(packed_x, x);
}

double sum_over(const rank_group *ranks, double x) {
  sum_over(ranks, col_major(&x, 1, 1));
  return x;
}

template <class T>
void householder_over(const rank_group &ranks, matrix_view<T> q, matrix_view<wide_of<T>> r) {
  using W = wide_of<T>;
  const index k = q.cols, mine = std::min(q.rows, k);
  const layout places(ranks, mine);
  columns<W> held(places.total, k), small(k, 2 * k);
  const matrix_view<W> stack = held.view(0, k), top = small.view(0, k),
                       before = small.view(k, 2 * k);
  std::fill_n(stack.data, places.total * k, W(0));
  thin_qr<T>(q, stack.block(places.first, 0, mine, k));
  sum_over(&ranks, stack);
  thin_qr<W>(stack, top);
  copy(r, before);
  multiply<W>(top, before, W(0), r);
  if (mine == 0)
    return;
  columns<T> first(q.rows, mine), turn(mine, k);
  copy(q.block(0, 0, q.rows, mine), first.view(0, mine));
  copy(stack.block(places.first, 0, mine, k), turn.view(0, k));
  multiply<T>(first.view(0, mine), turn.view(0, k), T(0), q);
}

template <class T>
result<T> decompose(matrix_view<const T> block, const options &options, const rank_group &group) {
  return together(group, [&](const guarded_group &ranks) {
    ranks.same("A", block.cols, "as many columns on every rank");
    ranks.same("rank", options.rank, "one rank for all");
    require(options.power_iterations < 0 && !options.one_pass,
            "power_iterations, one_pass: not for rows that are spread over ranks");
    magnitude size = measure<T>(block, options.workers);
    require(size.finite, "A: want finite values");
    const layout rows(ranks, block.rows);
    if (ranks.size() == 1)
      return decompose<T>(block, size, options);
    if (rows.total < block.cols)
      return decompose_whole<T>(block, rows, options, ranks);
    size = join<T>(ranks, size);
    const dense_operator<T> local(block, size, options.workers);
    return decompose<T>(shared_rows<T>(local, ranks, rows.total, rows.first, size.scaled_norm),
                        options);
  });
}

#define EF_INSTANTIATE(T)                                                                          \
  template void sum_over<T>(const rank_group *, matrix_view<T>);                                   \
  template void householder_over<T>(const rank_group &, matrix_view<T>, matrix_view<wide_of<T>>);  \
  template result<T> decompose<T>(matrix_view<const T>, const options &, const rank_group &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::svd
