// SPDX-License-Identifier: BSD-3-Clause
// A product with a few columns: a tile of c stays in registers while entries of `a` are broadcast
// against rows of b. Both sides of A^T (A x) are this loop, with the strides of `a` exchanged.
#include "products.hpp"
#include "vectors.hpp"

#include <eigenflow/hd/config.hpp>

namespace {

namespace simd = eigenflow::isa::EF_LEVEL_NS;
using eigenflow::isa::strided_matrix;
using std::int64_t;

// 24 accumulators of 32 registers, or 12 of 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int tile_vectors = 4, tile_rows = 6;
#else
constexpr int tile_vectors = 2, tile_rows = 6;
#endif

constexpr int64_t block_bytes = 64 << 10; // of b: a small part of the second cache

// What is packed at a time: whole lines of a's memory, and half of the first cache.
constexpr int64_t packed_rows = 8 * tile_rows, packed_depth = 48;

template <class Real> constexpr int lanes = simd::vector_bytes / static_cast<int>(sizeof(Real));
template <class Real> using vec = decltype(simd::broadcast(Real{}));

template <class Real, int rows, int vectors>
EF_HD void tile(const strided_matrix<Real> &a, const Real *b, int64_t width, Real *c) {
  vec<Real> sum[rows][vectors];
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = simd::load(c + r * width + v * lanes<Real>);
  const Real *from = a.data;
  for (int64_t k = 0; k < a.cols; ++k, from += a.col_stride, b += width) {
    vec<Real> right[vectors];
    for (int v = 0; v < vectors; ++v)
      right[v] = simd::load(b + v * lanes<Real>);
    for (int r = 0; r < rows; ++r) {
      const vec<Real> left = simd::broadcast(from[r * a.row_stride]);
      for (int v = 0; v < vectors; ++v)
        sum[r][v] = simd::fma(left, right[v], sum[r][v]);
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v)
      simd::store(c + r * width + v * lanes<Real>, sum[r][v]);
}

// All columns of `rows` rows, by whole tiles and then by ever narrower ones.
template <class Real, int rows, int vectors>
EF_HD void tile_row(const strided_matrix<Real> &a, const Real *b, int64_t width, int64_t done,
                    Real *c) {
  for (; done + vectors * lanes<Real> <= width; done += vectors * lanes<Real>)
    tile<Real, rows, vectors>(a, b + done, width, c + done);
  if constexpr (vectors > 1)
    tile_row<Real, rows, vectors / 2>(a, b, width, done, c);
}

template <class Real, int rows>
EF_HD void tile_rows_of(strided_matrix<Real> a, const Real *b, int64_t width, Real *c) {
  const int64_t end = a.rows;
  a.rows = rows;
  int64_t i = 0;
  for (; i + rows <= end; i += rows) {
    tile_row<Real, rows, tile_vectors>(a, b, width, 0, c + i * width);
    a.data += rows * a.row_stride;
  }
  if constexpr (rows > 1) {
    a.rows = end - i;
    tile_rows_of<Real, rows / 2>(a, b, width, c + i * width);
  }
}

template <class Real>
strided_matrix<Real> part(const strided_matrix<Real> &a, int64_t i, int64_t n, int64_t k,
                          int64_t depth) {
  const auto least = [](int64_t x, int64_t y) { return x < y ? x : y; };
  return {a.data + i * a.row_stride + k * a.col_stride, least(n, a.rows - i),
          least(depth, a.cols - k), a.row_stride, a.col_stride};
}

// Groups of tile_rows rows, column after column: what a tile reads, in the order of reading.
// Columns of a power-of-two stride share one set of the cache, so each is read once only.
template <class Real> void pack(const strided_matrix<Real> &a, Real *__restrict out) {
  for (int64_t k = 0; k < a.cols; ++k) {
    const Real *from = a.data + k * a.col_stride;
    const Real *ahead = from + packed_depth * a.col_stride;
    for (int64_t i = 0; i < a.rows; i += 64 / static_cast<int64_t>(sizeof(Real)))
      simd::prefetch(ahead + i);
    for (int64_t i = 0; i < a.rows; i += tile_rows) {
      Real *to = out + i * a.cols + k * tile_rows;
      if (a.row_stride == 1 && a.rows - i >= tile_rows)
        for (int r = 0; r < tile_rows; ++r)
          to[r] = from[i + r];
      else
        for (int64_t r = 0; r < tile_rows && i + r < a.rows; ++r)
          to[r] = from[(i + r) * a.row_stride];
    }
  }
}

template <class Real>
void accumulate_packed(const strided_matrix<Real> &a, const Real *b, int64_t width, Real *c) {
  alignas(64) Real held[packed_rows * packed_depth];
  pack(a, held);
  for (int64_t i = 0; i < a.rows; i += tile_rows) {
    const int64_t n = a.rows - i < tile_rows ? a.rows - i : tile_rows;
    tile_rows_of<Real, tile_rows>({held + i * a.cols, n, a.cols, 1, tile_rows}, b, width,
                                  c + i * width);
  }
}

// Where rows of `a` are runs of memory they are read in place; else its columns are, by packing.
template <class Real>
void accumulate(const strided_matrix<Real> &a, const Real *b, int64_t width, Real *c) {
  if (a.col_stride == 1) {
    const int64_t fits = block_bytes / (width * static_cast<int64_t>(sizeof(Real)));
    const int64_t depth = fits < 8 ? 8 : fits;
    for (int64_t k = 0; k < a.cols; k += depth)
      tile_rows_of<Real, tile_rows>(part(a, 0, a.rows, k, depth), b + k * width, width, c);
    return;
  }
  // The longer side is the outer loop: of b and c, the longer one is then read once only.
  const bool tall = a.rows > a.cols;
  for (int64_t outer = 0; outer < (tall ? a.rows : a.cols);
       outer += tall ? packed_rows : packed_depth)
    for (int64_t inner = 0; inner < (tall ? a.cols : a.rows);
         inner += tall ? packed_depth : packed_rows) {
      const int64_t i = tall ? outer : inner, k = tall ? inner : outer;
      accumulate_packed(part(a, i, packed_rows, k, packed_depth), b + k * width, width,
                        c + i * width);
    }
}

} // namespace

EF_ISA_DEFINE(product, {accumulate<float>, accumulate<double>})
