// SPDX-License-Identifier: BSD-3-Clause
// The four subjects on the ranks of a program that runs under MPI already, held to one process.
#include <eigenflow/blas.hpp>
#include <eigenflow/flow.hpp>
#include <eigenflow/lds.hpp>
#include <eigenflow/mpi.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/sine.hpp>
#include <eigenflow/svd.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include <dlfcn.h>

using namespace eigenflow;

namespace {

using eigenflow::index; // an MPI may bring the `index` of strings.h

int failures = 0;
void check(bool ok, const char *what) {
  if (!ok) {
    ++failures;
    std::printf("failed: %s\n", what);
  }
}
void check_close(double got, double want, double tolerance, const char *what) {
  if (!(std::abs(got - want) <= tolerance * (1 + std::abs(want)))) {
    ++failures;
    std::printf("failed: %s: got %.17g, want %.17g\n", what, got, want);
  }
}

std::vector<double> normals(std::uint64_t key, index rows, index cols) {
  std::vector<double> out(static_cast<std::size_t>(rows * cols));
  rng::fill_normals<double>(key, 0, 0, row_major(out.data(), rows, cols), 1);
  return out;
}

// Uneven blocks; rank 1 of three or more has none.
struct block {
  block(const mpi_comm &comm, index total) {
    const index ranks = comm.size();
    std::vector<index> ends(1, 0);
    for (index r = 0; r < ranks; ++r)
      ends.push_back(r + 1 == ranks        ? total
                     : ranks > 2 && r == 1 ? ends.back()
                                           : total * (r + 1) / (ranks + 1));
    first = ends[static_cast<std::size_t>(comm.rank())];
    rows = ends[static_cast<std::size_t>(comm.rank() + 1)] - first;
  }
  index first, rows;
};

bool bind_blas() {
  const char *path = std::getenv("EIGENFLOW_TEST_BLAS");
  void *library = path == nullptr ? nullptr : dlopen(path, RTLD_NOW | RTLD_LOCAL);
  for (const char *name : blas::names()) {
    const std::string symbol = "scipy_" + std::string(name) + "_";
    void *routine = library == nullptr ? nullptr : dlsym(library, symbol.c_str());
    if (routine == nullptr || !blas::bind(name, routine))
      return false;
  }
  return true;
}

void decompose(const mpi_comm &comm) {
  if (!blas::available() && !bind_blas()) {
    std::printf("no svd: set EIGENFLOW_TEST_BLAS to SciPy's BLAS\n");
    return;
  }
  const index m = 800, n = 300, k = 8;
  std::vector<double> a = normals(1, m, n);
  for (index i = 0; i < m; ++i)
    for (index j = 0; j < n; ++j)
      a[static_cast<std::size_t>(i * n + j)] *= std::pow(0.95, static_cast<double>(j));
  const svd::options options{.rank = k, .workers = 1};
  const auto want = svd::decompose<double>(row_major(a.data(), m, n), options, self_comm{});
  const block mine(comm, m);
  const auto got =
      svd::decompose<double>(row_major(a.data() + mine.first * n, mine.rows, n), options, comm);
  check(got.passes == want.passes && got.route == want.route, "the same way");
  for (index j = 0; j < k; ++j) {
    check_close(got.s[static_cast<std::size_t>(j)], want.s[static_cast<std::size_t>(j)], 1e-12,
                "singular value");
    for (index i = 0; i < mine.rows; ++i)
      check_close(got.u[static_cast<std::size_t>(j * mine.rows + i)],
                  want.u[static_cast<std::size_t>(j * m + mine.first + i)], 1e-6, "left vector");
  }
}

void flow_of_coordinates(const mpi_comm &comm) {
  const index n = 1000;
  const std::vector<double> z = normals(2, 1, n), ones(static_cast<std::size_t>(n), 1.0);
  const double times[] = {0.5, 3};
  const auto solve = [&](index first, index size, double *theta, const auto &ranks) {
    const flow::coordinates<double> in{row_major(z.data() + first, 1, size),
                                       row_major(ones.data(), 1, size),
                                       row_major(ones.data(), 1, size)};
    flow::options options;
    options.depth = 1;
    options.workers = 1;
    return flow::solve<double>(options, in, {times, 2}, theta, ranks);
  };
  std::vector<double> whole(static_cast<std::size_t>(2 * n));
  const auto want = solve(0, n, whole.data(), self_comm{});
  const block mine(comm, n);
  std::vector<double> theta(static_cast<std::size_t>(2 * mine.rows));
  const auto got = solve(mine.first, mine.rows, theta.data(), comm);
  for (std::size_t t = 0; t < 2; ++t)
    check_close(got[t], want[t], 1e-13, "loss");
  for (index i = 0; i < mine.rows; ++i)
    check(theta[static_cast<std::size_t>(i)] == whole[static_cast<std::size_t>(mine.first + i)],
          "theta");
}

void sine_transposed(const mpi_comm &comm) {
  const index m = 500, n = 60;
  const std::vector<double> u = normals(3, m, 2), v = normals(4, n, 2), y = normals(5, m, 1);
  const sine::options options{.omega = 9, .gain = 3, .exact_phase = false, .workers = 1};
  std::vector<double> want(static_cast<std::size_t>(n)), got(want);
  const auto V = row_major(v.data(), n, 2);
  sine::apply_transposed<double>(row_major(u.data(), m, 2), V, row_major(y.data(), m, 1),
                                 row_major(want.data(), n, 1), options);
  const block mine(comm, m);
  sine::apply_transposed<double>(row_major(u.data() + 2 * mine.first, mine.rows, 2), V,
                                 row_major(y.data() + mine.first, mine.rows, 1),
                                 row_major(got.data(), n, 1), options, comm);
  for (std::size_t j = 0; j < want.size(); ++j)
    check_close(got[j], want[j], 1e-12, "transposed product");
}

void filter(const mpi_comm &comm) {
  const double A[] = {0.9, 0.2, 0, 0.8}, C[] = {1, 0}, Q[] = {1, 0, 0, 1}, R = 0.5;
  const lds::model model{row_major(A, 2, 2), row_major(C, 1, 2), row_major(Q, 2, 2),
                         row_major(&R, 1, 1)};
  const lds::belief start{{0, 0}, {1, 0, 0, 1}, {}, 0};
  const index n_steps = 20000;
  const std::vector<double> y = normals(6, n_steps, 1);
  std::vector<double> want(static_cast<std::size_t>(2 * n_steps));
  const auto whole = lds::filter(model, start, row_major(y.data(), n_steps, 1),
                                 {row_major(want.data(), n_steps, 2), {}, {}, {}}, {});
  const block mine(comm, n_steps);
  std::vector<double> got(static_cast<std::size_t>(2 * mine.rows));
  const auto part = lds::filter(model, start, row_major(y.data() + mine.first, mine.rows, 1),
                                {row_major(got.data(), mine.rows, 2), {}, {}, {}}, {}, comm);
  check_close(part.log_likelihood, whole.log_likelihood, 1e-12, "log-likelihood");
  for (std::size_t i = 0; i < got.size(); ++i)
    check_close(got[i], want[static_cast<std::size_t>(2 * mine.first) + i], 1e-12, "mean");
}

// Messages in pieces of 7 elements give what whole ones give.
void cut_messages(const mpi_comm &whole) {
  const mpi_comm comm(MPI_COMM_WORLD, 7);
  std::vector<double> x(100);
  std::iota(x.begin(), x.end(), comm.rank());
  std::vector<double> other = x;
  comm.allreduce(std::span(x), reduction::sum);
  whole.allreduce(std::span(other), reduction::sum);
  check(x == other, "a sum in pieces");
  std::vector<std::byte> bytes(50, std::byte(comm.rank() == comm.size() - 1 ? 9 : 1));
  comm.bcast(bytes, comm.size() - 1);
  check(bytes == std::vector<std::byte>(50, std::byte(9)), "bytes in pieces");
  const combine keep = [](std::span<const double>, std::span<double>) {};
  std::vector<double> element(8);
  try {
    comm.exscan(element, keep);
    check(false, "an element of a scan is never cut");
  } catch (const argument_error &) {
  }
}

// Products of matrices do not commute: the order of the ranks shows.
void scan_in_order(const mpi_comm &comm) {
  const combine multiply = [](std::span<const double> first, std::span<double> second) {
    const double a[] = {first[0], first[1], first[2], first[3]};
    const double b[] = {second[0], second[1], second[2], second[3]};
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 2; ++j)
        second[2 * i + j] = a[2 * i] * b[j] + a[2 * i + 1] * b[2 + j];
  };
  const auto of_rank = [](int r) { return std::vector<double>{1.0, r + 1.0, 0.5, 2.0 * r}; };
  std::vector<double> x = of_rank(comm.rank());
  comm.exscan(x, multiply);
  if (comm.rank() == 0)
    return;
  std::vector<double> want = of_rank(0);
  for (int r = 1; r < comm.rank(); ++r) {
    std::vector<double> next = of_rank(r);
    multiply(want, next);
    want = next;
  }
  check(x == want, "a scan keeps the order of the ranks");
}

void errors(const mpi_comm &comm) {
  std::vector<double> a = normals(1, 20, 4);
  if (comm.rank() == comm.size() - 1)
    a[5] = std::nan("");
  std::string text;
  try {
    svd::decompose<double>(row_major(a.data(), 20, 4), {.rank = 2}, comm);
  } catch (const argument_error &error) {
    text = error.what();
  }
  const std::string where =
      " (on rank " + std::to_string(comm.size() - 1) + " of " + std::to_string(comm.size()) + ")";
  check(text == "A: want finite values" + (comm.size() > 1 ? where : ""),
        "an error on the last rank reaches all");
  try {
    const mpi_comm freed(MPI_COMM_NULL);
    check(false, "a communicator that was freed is refused");
  } catch (const communication_error &) {
  }
}

} // namespace

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  {
    const mpi_comm comm(MPI_COMM_WORLD);
    decompose(comm);
    flow_of_coordinates(comm);
    sine_transposed(comm);
    filter(comm);
    cut_messages(comm);
    scan_in_order(comm);
    errors(comm);
    std::int64_t all = failures;
    comm.allreduce(std::span(&all, 1), reduction::sum);
    failures = static_cast<int>(all);
  }
  const mpi_comm outlives(MPI_COMM_WORLD); // its destructor runs after MPI_Finalize
  MPI_Finalize();
  return failures == 0 ? 0 : 1;
}
