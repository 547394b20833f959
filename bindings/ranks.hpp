// SPDX-License-Identifier: BSD-3-Clause
// A communicator that is a Python object, as eigenflow.mpi makes it: rank, size, and
// allreduce(array, how), exscan(array, combine), bcast(array, root), all in place.
#pragma once

#include <eigenflow/communicator.hpp>

#include <pybind11/numpy.h>

namespace eigenflow::bindings {

// Must be made, and go, with the GIL held; its calls take it.
class python_ranks final : public rank_group {
public:
  explicit python_ranks(pybind11::object comm);
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void allreduce(std::span<double> x, reduction how) const override;
  void allreduce(std::span<float> x, reduction how) const override;
  void allreduce(std::span<std::int64_t> x, reduction how) const override;
  void exscan(std::span<double> x, const combine &op) const override;
  void bcast(std::span<std::byte> x, int root) const override;

private:
  pybind11::object comm_;
  int rank_, size_;
};

} // namespace eigenflow::bindings
