/* SPDX-License-Identifier: BSD-3-Clause */
/* The main entry points for C, Fortran and whatever calls C. No exception leaves them: each returns
 * a status, and eigenflow_error() says what was wrong. Matrices are packed; `order` tells rows
 * (EIGENFLOW_ROW_MAJOR, C) from columns (EIGENFLOW_COL_MAJOR, Fortran). Inputs are never written.
 * From Fortran: bind(c) interfaces, sizes as integer(c_int64_t). */
#ifndef EIGENFLOW_H
#define EIGENFLOW_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  EIGENFLOW_OK = 0,
  EIGENFLOW_ARGUMENT = 1,    /* an argument has a wrong shape or value */
  EIGENFLOW_CONVERGENCE = 2, /* an iteration ran out of steps */
  EIGENFLOW_MEMORY = 3,      /* no memory was left */
  EIGENFLOW_INTERRUPTED = 4, /* the program's hook asked to stop */
  EIGENFLOW_OTHER = 5        /* for example: no BLAS is bound */
};

enum { EIGENFLOW_ROW_MAJOR = 0, EIGENFLOW_COL_MAJOR = 1 };

/* "major.minor.patch". */
const char *eigenflow_version(void);

/* What the last call of this thread that failed had to say; "" before. */
const char *eigenflow_error(void);

/* Fills one slot of the BLAS table, for example ("dgemm", (void *)dgemm_), in a build that links no
 * BLAS. EIGENFLOW_ARGUMENT when there is no such slot. */
int eigenflow_bind_blas(const char *name, void *routine);

/* The slots, i = 0, 1, ...; NULL after the last. */
const char *eigenflow_blas_name(int64_t i);

/* theta (n_times x n, row by row): the gradient flow of each coordinate at each time. `b0` is read
 * at depth >= 1 only, and may be NULL at depth 0. workers = 0: the default number of threads. */
int eigenflow_flow_solve(int64_t n, const double *z, const double *eigenvalues, const double *b0,
                         int depth, int64_t n_times, const double *times, int workers,
                         double *theta);

/* The leading `rank` triplets of A (m x n): U m x rank and Vh rank x n in the order of A, s. */
int eigenflow_svd(int64_t m, int64_t n, const double *A, int order, int64_t rank, uint64_t seed,
                  int workers, double *U, double *s, double *Vh, double *error);

/* The least rank, at most max_rank, with an error of at most rtol ||A|| in the Frobenius norm. U, s
 * and Vh have room for max_rank triplets; *rank says how many there are, and U and Vh are packed
 * with that rank. */
int eigenflow_svd_rtol(int64_t m, int64_t n, const double *A, int order, double rtol,
                       int64_t max_rank, uint64_t seed, int workers, int64_t *rank, double *U,
                       double *s, double *Vh, double *error);

/* y = sin(omega U V^T) / gain x, or its transpose; U m x k, V n x k. */
int eigenflow_sine_matvec(int64_t m, int64_t n, int64_t k, const double *U, const double *V,
                          int order, double omega, double gain, const double *x, int workers,
                          double *y);
int eigenflow_sine_rmatvec(int64_t m, int64_t n, int64_t k, const double *U, const double *V,
                           int order, double omega, double gain, const double *y, int workers,
                           double *x);

/* Kalman filter of x' = A x + w, y = C x + v with n states and p observed series, from the law
 * N(mean0, cov0) of the first state. y and filtered_mean are n_steps x p and n_steps x n, one row a
 * step in the order ROW_MAJOR and one column a step in COL_MAJOR; NaN is a missing number.
 * filtered_mean may be NULL. */
int eigenflow_lds_filter(int64_t n, int64_t p, const double *A, const double *C, const double *Q,
                         const double *R, const double *mean0, const double *cov0, int order,
                         int64_t n_steps, const double *y, int workers, double *filtered_mean,
                         double *log_likelihood);

#ifdef __cplusplus
}
#endif

#endif
