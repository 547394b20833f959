// SPDX-License-Identifier: BSD-3-Clause
// A communicator over MPI, header only: the library links no MPI, the program that includes this
// does (target eigenflow::mpi). MPI is the program's to start and to end.
//
//   const eigenflow::mpi_comm comm(MPI_COMM_WORLD);
//   auto out = eigenflow::svd::decompose<double>(my_rows, options, comm);
#pragma once

#include <eigenflow/communicator.hpp>

#include <mpi.h>

#include <algorithm>
#include <climits>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace eigenflow {

class mpi_comm {
public:
  // Works on a duplicate of its own, so that messages never meet the program's. Collective. Counts
  // above `limit` elements are cut: MPI counts are int in every version before 4.
  explicit mpi_comm(MPI_Comm given, std::size_t limit = INT_MAX)
      : limit_(std::clamp<std::size_t>(limit, 1, INT_MAX)) {
    int is_on = 0, is_off = 0;
    MPI_Initialized(&is_on);
    MPI_Finalized(&is_off);
    if (is_on == 0 || is_off != 0 || given == MPI_COMM_NULL)
      throw communication_error(
          "comm: want a communicator between MPI_Init and MPI_Finalize, not one that was freed");
    check(MPI_Comm_dup(given, &comm_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }
  mpi_comm(mpi_comm &&other) noexcept
      : comm_(std::exchange(other.comm_, MPI_COMM_NULL)), rank_(other.rank_), size_(other.size_),
        limit_(other.limit_) {}
  mpi_comm(const mpi_comm &) = delete;
  mpi_comm &operator=(const mpi_comm &) = delete;
  mpi_comm &operator=(mpi_comm &&) = delete;
  ~mpi_comm() {
    int is_off = 0;
    if (MPI_Finalized(&is_off) == MPI_SUCCESS && is_off == 0 && comm_ != MPI_COMM_NULL)
      MPI_Comm_free(&comm_);
  }

  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm handle() const { return comm_; }

  template <class R> void allreduce(std::span<R> x, reduction how) const {
    cut(x, [&](R *data, int count) {
      check(MPI_Allreduce(MPI_IN_PLACE, data, count, type_of(data), op_of(how), comm_),
            "MPI_Allreduce");
    });
  }

  // log2(size) rounds; a message is one whole element, which must not be cut. What op throws is
  // thrown when all rounds are over, so that no rank waits for this one.
  void exscan(std::span<double> x, const combine &op) const {
    if (x.size() > limit_)
      throw argument_error("x: got " + std::to_string(x.size()) +
                           " numbers, and an element of a scan has at most " +
                           std::to_string(limit_));
    std::vector<double> whole(x.begin(), x.end()), got(x.size()), before;
    const int count = static_cast<int>(x.size());
    std::exception_ptr failure;
    for (int reach = 1; reach < size_; reach *= 2) {
      const int to = rank_ + reach < size_ ? rank_ + reach : MPI_PROC_NULL;
      const int from = rank_ >= reach ? rank_ - reach : MPI_PROC_NULL;
      check(MPI_Sendrecv(whole.data(), count, MPI_DOUBLE, to, 0, got.data(), count, MPI_DOUBLE,
                         from, 0, comm_, MPI_STATUS_IGNORE),
            "MPI_Sendrecv");
      if (from == MPI_PROC_NULL)
        continue;
      try {
        op(got, whole);
        if (before.empty())
          before = got;
        else
          op(got, before);
      } catch (...) {
        failure = std::current_exception();
      }
    }
    if (failure)
      std::rethrow_exception(failure);
    if (!before.empty())
      std::copy(before.begin(), before.end(), x.begin());
  }

  void bcast(std::span<std::byte> x, int root) const {
    cut(x, [&](std::byte *data, int count) {
      check(MPI_Bcast(data, count, MPI_BYTE, root, comm_), "MPI_Bcast");
    });
  }

private:
  static MPI_Datatype type_of(const double *) { return MPI_DOUBLE; }
  static MPI_Datatype type_of(const float *) { return MPI_FLOAT; }
  static MPI_Datatype type_of(const std::int64_t *) { return MPI_INT64_T; }
  static MPI_Op op_of(reduction how) {
    return how == reduction::sum ? MPI_SUM : how == reduction::min ? MPI_MIN : MPI_MAX;
  }
  static void check(int code, const char *call) {
    if (code == MPI_SUCCESS)
      return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw communication_error(std::string(call) + ": " + text);
  }
  template <class R, class Call> void cut(std::span<R> x, Call &&call) const {
    for (std::size_t begin = 0; begin < x.size(); begin += limit_)
      call(x.data() + begin, static_cast<int>(std::min(limit_, x.size() - begin)));
  }

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::size_t limit_;
};

static_assert(communicator<mpi_comm>);

} // namespace eigenflow
