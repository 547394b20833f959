// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/cuda/rng.cuh>

extern "C" __global__ void fill_words(unsigned long long key, long long first_row,
                                      long long first_col, long long rows, long long cols,
                                      unsigned int *out) {
  eigenflow::cuda::fill_words(key, first_row, first_col, rows, cols, out);
}

extern "C" __global__ void fill_normals_f32(unsigned long long key, long long first_row,
                                            long long first_col, long long rows, long long cols,
                                            float *out) {
  eigenflow::cuda::fill_normals(key, first_row, first_col, rows, cols, out);
}

extern "C" __global__ void fill_normals_f64(unsigned long long key, long long first_row,
                                            long long first_col, long long rows, long long cols,
                                            double *out) {
  eigenflow::cuda::fill_normals(key, first_row, first_col, rows, cols, out);
}
