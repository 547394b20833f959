// SPDX-License-Identifier: BSD-3-Clause
// The library's flow of one coordinate in a kernel of the program's own.
#include <eigenflow/cuda/flow.cuh>

#include <cmath>
#include <cstdio>

__global__ void flow(const double *z, const double *eigenvalue, const double *time,
                     const long long *row, double *theta) {
  eigenflow::cuda::flow_closed<double>({1, {z, 1}, {eigenvalue, 1}, {}}, {1, time, row}, theta);
}

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("skipped: no CUDA device\n");
    return 77;
  }
  // z, eigenvalue, time, theta; and the row of the time, 0.
  double *numbers = nullptr;
  long long *row = nullptr;
  if (cudaMallocManaged(&numbers, 4 * sizeof(double)) != cudaSuccess ||
      cudaMallocManaged(&row, sizeof(long long)) != cudaSuccess)
    return 1;
  numbers[0] = 1, numbers[1] = 1, numbers[2] = 3, *row = 0;
  flow<<<1, 32>>>(numbers, numbers + 1, numbers + 2, row, numbers + 3);
  if (cudaDeviceSynchronize() != cudaSuccess)
    return 1;
  std::printf("theta(3) = %.15f\n", numbers[3]);
  // At depth 0, with a = sqrt(1): theta' = sqrt(1 + 4 theta^2) (1 - theta); nearly there at t = 3.
  const bool ok = numbers[3] > 0.99 && numbers[3] < 1;
  cudaFree(numbers);
  cudaFree(row);
  return ok ? 0 : 1;
}
