// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/blas.hpp>
#include <eigenflow/eigenflow.h>
#include <eigenflow/errors.hpp>
#include <eigenflow/flow.hpp>
#include <eigenflow/lds.hpp>
#include <eigenflow/sine.hpp>
#include <eigenflow/svd.hpp>
#include <eigenflow/version.hpp>

#include <cmath>
#include <new>
#include <string>

// Inside the namespace, where `index` is a type and not the C library's function.
namespace eigenflow {
namespace {

std::string &last_error() {
  thread_local std::string text;
  return text;
}

int failed(int status, const char *text) noexcept {
  try {
    last_error() = text;
  } catch (...) {
    last_error().clear();
  }
  return status;
}

// The status of body(), whatever it throws.
template <class Body> int guarded(Body &&body) noexcept {
  try {
    body();
    return EIGENFLOW_OK;
  } catch (const argument_error &error) {
    return failed(EIGENFLOW_ARGUMENT, error.what());
  } catch (const convergence_error &error) {
    return failed(EIGENFLOW_CONVERGENCE, error.what());
  } catch (const interrupted &error) {
    return failed(EIGENFLOW_INTERRUPTED, error.what());
  } catch (const std::bad_alloc &) {
    return failed(EIGENFLOW_MEMORY, "out of memory");
  } catch (const std::length_error &) {
    return failed(EIGENFLOW_MEMORY, "out of memory");
  } catch (const std::exception &error) {
    return failed(EIGENFLOW_OTHER, error.what());
  } catch (...) {
    return failed(EIGENFLOW_OTHER, "unknown error");
  }
}

void require_size(const char *name, index size) {
  require(size >= 0, std::string(name) + ": got " + std::to_string(size) + ", want 0 or more");
}

template <class T> void require_data(const char *name, const T *data, index size) {
  require(data != nullptr || size == 0, std::string(name) + ": got NULL, want an array");
}

template <class T> matrix_view<T> matrix(T *data, index rows, index cols, int order) {
  require(order == EIGENFLOW_ROW_MAJOR || order == EIGENFLOW_COL_MAJOR,
          "order: got " + std::to_string(order) + ", want 0 (rows) or 1 (columns)");
  return order == EIGENFLOW_ROW_MAJOR ? row_major(data, rows, cols) : col_major(data, rows, cols);
}

template <class From, class To> void copy(matrix_view<From> from, matrix_view<To> to) {
  for (index i = 0; i < from.rows; ++i)
    for (index j = 0; j < from.cols; ++j)
      to(i, j) = from(i, j);
}

struct svd_outputs {
  double *U, *s, *Vh, *error;
};

index decompose(index m, index n, const double *A, int order, const svd::options &options,
                const svd_outputs &out) {
  require_size("m", m);
  require_size("n", n);
  require_data("A", A, m * n);
  const svd::result<double> found =
      svd::decompose<double>(matrix(A, m, n, order), options, self_comm{});
  require_data("U", out.U, m * found.rank);
  require_data("s", out.s, found.rank);
  require_data("Vh", out.Vh, found.rank * n);
  copy(col_major(found.u.data(), m, found.rank), matrix(out.U, m, found.rank, order));
  copy(row_major(found.vh.data(), found.rank, n), matrix(out.Vh, found.rank, n, order));
  std::copy(found.s.begin(), found.s.end(), out.s);
  if (out.error != nullptr)
    *out.error = found.error;
  return found.rank;
}

struct sine_factors {
  sine_factors(index m, index n, index k, const double *U_, const double *V_, int order)
      : U(matrix(U_, m, k, order)), V(matrix(V_, n, k, order)) {
    require_size("m", m);
    require_size("n", n);
    require_size("k", k);
    require_data("U", U_, m * k);
    require_data("V", V_, n * k);
  }
  matrix_view<const double> U, V;
};

sine::options sine_options(double omega, double gain, int workers) {
  require(std::isfinite(omega), "omega: want a finite number");
  require(std::isfinite(gain) && gain != 0, "gain: want a finite number, not 0");
  return {.omega = omega, .gain = gain, .exact_phase = false, .workers = workers};
}

std::vector<double> packed_rows(matrix_view<const double> a) {
  std::vector<double> out(static_cast<std::size_t>(a.rows * a.cols));
  copy(a, row_major(out.data(), a.rows, a.cols));
  return out;
}

} // namespace

extern "C" {

const char *eigenflow_version(void) { return EIGENFLOW_VERSION; }

const char *eigenflow_error(void) { return last_error().c_str(); }

int eigenflow_bind_blas(const char *name, void *routine) {
  return guarded([&] {
    require(name != nullptr && blas::bind(name, routine), "name: the table has no such slot");
  });
}

const char *eigenflow_blas_name(int64_t i) {
  const auto names = blas::names();
  return i >= 0 && i < static_cast<index>(names.size()) ? names[static_cast<std::size_t>(i)]
                                                        : nullptr;
}

int eigenflow_flow_solve(int64_t n, const double *z, const double *eigenvalues, const double *b0,
                         int depth, int64_t n_times, const double *times, int workers,
                         double *theta) {
  return guarded([&] {
    require_size("n", n);
    require_size("n_times", n_times);
    require_data("z", z, n);
    require_data("eigenvalues", eigenvalues, n);
    require_data("b0", b0, depth > 0 ? n : 0);
    require_data("times", times, n_times);
    require_data("theta", theta, n * n_times);
    for (index t = 0; t < n_times; ++t)
      require(times[t] >= 0, "times: got " + std::to_string(times[t]) + " at position " +
                                 std::to_string(t) + ", want non-negative values");
    flow::options options;
    options.depth = depth;
    options.workers = workers;
    options.check = flow::input_check::finite;
    const auto row = [&](const double *x) { return row_major(x, 1, x == nullptr ? 0 : n); };
    require(flow::solve<double>(options, {row(z), row(eigenvalues), row(b0)}, {times, n_times, 1},
                                theta),
            "z, eigenvalues, b0: want finite numbers, and eigenvalues and b0 of 0 or more");
  });
}

int eigenflow_svd(int64_t m, int64_t n, const double *A, int order, int64_t rank, uint64_t seed,
                  int workers, double *U, double *s, double *Vh, double *error) {
  return guarded([&] {
    require_size("rank", rank);
    decompose(m, n, A, order, {.rank = rank, .key = seed, .workers = workers}, {U, s, Vh, error});
  });
}

int eigenflow_svd_rtol(int64_t m, int64_t n, const double *A, int order, double rtol,
                       int64_t max_rank, uint64_t seed, int workers, int64_t *rank, double *U,
                       double *s, double *Vh, double *error) {
  return guarded([&] {
    require_size("max_rank", max_rank);
    require(rank != nullptr, "rank: got NULL, want a place for the result");
    require(rtol >= 0, "rtol: want a number of 0 or more");
    *rank =
        decompose(m, n, A, order,
                  {.rank = max_rank, .relative_tolerance = rtol, .key = seed, .workers = workers},
                  {U, s, Vh, error});
  });
}

int eigenflow_sine_matvec(int64_t m, int64_t n, int64_t k, const double *U, const double *V,
                          int order, double omega, double gain, const double *x, int workers,
                          double *y) {
  return guarded([&] {
    const sine_factors factors(m, n, k, U, V, order);
    require_data("x", x, n);
    require_data("y", y, m);
    sine::apply<double>(factors.U, factors.V, row_major(x, n, 1), row_major(y, m, 1),
                        sine_options(omega, gain, workers));
  });
}

int eigenflow_sine_rmatvec(int64_t m, int64_t n, int64_t k, const double *U, const double *V,
                           int order, double omega, double gain, const double *y, int workers,
                           double *x) {
  return guarded([&] {
    const sine_factors factors(m, n, k, U, V, order);
    require_data("y", y, m);
    require_data("x", x, n);
    sine::apply_transposed<double>(factors.U, factors.V, row_major(y, m, 1), row_major(x, n, 1),
                                   sine_options(omega, gain, workers));
  });
}

int eigenflow_lds_filter(int64_t n, int64_t p, const double *A, const double *C, const double *Q,
                         const double *R, const double *mean0, const double *cov0, int order,
                         int64_t n_steps, const double *y, int workers, double *filtered_mean,
                         double *log_likelihood) {
  return guarded([&] {
    require(n > 0 && p > 0, "n, p: want at least one state and one observed series");
    require_size("n_steps", n_steps);
    require_data("A", A, n * n);
    require_data("C", C, p * n);
    require_data("Q", Q, n * n);
    require_data("R", R, p * p);
    require_data("mean0", mean0, n);
    require_data("cov0", cov0, n * n);
    require_data("y", y, n_steps * p);
    const lds::model model{matrix(A, n, n, order), matrix(C, p, n, order), matrix(Q, n, n, order),
                           matrix(R, p, p, order)};
    const lds::belief start{{mean0, mean0 + n}, packed_rows(matrix(cov0, n, n, order)), {}, 0};
    lds::filter_outputs out;
    // One row a step, or one column a step: the same memory.
    if (filtered_mean != nullptr)
      out.filtered_mean = row_major(filtered_mean, n_steps, n);
    lds::filter_options options;
    options.workers = workers;
    const auto found = lds::filter(model, start, row_major(y, n_steps, p), out, options);
    if (log_likelihood != nullptr)
      *log_likelihood = found.log_likelihood;
  });
}

} // extern "C"

} // namespace eigenflow
