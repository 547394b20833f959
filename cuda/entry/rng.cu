// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cuda/rng.cuh>

extern "C" __global__ void fill_words(unsigned long long key, long long first_row,
                                      long long first_col, long long rows, long long cols,
                                      unsigned int *out) {
  eigenflow::cuda::fill_words(key, first_row, first_col, rows, cols, out);
}
