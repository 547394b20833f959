/* SPDX-License-Identifier: BSD-3-Clause */
/* A flow, a sine-activated product and a filter, from C. */
#include <eigenflow/eigenflow.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void check(int ok, const char *what) {
  if (!ok) {
    ++failures;
    printf("failed: %s (%s)\n", what, eigenflow_error());
  }
}

static void flow(void) {
  const double z = 1, eigenvalue = 1, b0 = 0.5, time = 3;
  double theta = 0;
  check(eigenflow_flow_solve(1, &z, &eigenvalue, &b0, 1, 1, &time, 1, &theta) == EIGENFLOW_OK,
        "flow");
  check(fabs(theta - 0.99658722795721374) < 1e-14, "theta");
  printf("eigenflow %s: theta(%g) = %.15f\n", eigenflow_version(), time, theta);
}

static void sine(void) {
  /* Columns of U and V: Fortran's order. */
  const double U[] = {0.1, 0.2, 0.3, 0.4}, V[] = {1, 2, 3, 4, 5, 6}, x[] = {1, -1, 2};
  double y[2], want, back[3];
  int i, j;
  check(eigenflow_sine_matvec(2, 3, 2, U, V, EIGENFLOW_COL_MAJOR, 7, 2, x, 1, y) == EIGENFLOW_OK,
        "sine");
  for (i = 0; i < 2; ++i) {
    want = 0;
    for (j = 0; j < 3; ++j)
      want += sin(7 * (U[i] * V[j] + U[2 + i] * V[3 + j])) / 2 * x[j];
    check(fabs(y[i] - want) < 1e-13, "sine product");
  }
  check(eigenflow_sine_rmatvec(2, 3, 2, U, V, EIGENFLOW_COL_MAJOR, 7, 2, y, 1, back) ==
            EIGENFLOW_OK,
        "transposed sine");
  check(fabs(x[0] * back[0] + x[1] * back[1] + x[2] * back[2] - (y[0] * y[0] + y[1] * y[1])) <
            1e-13,
        "<x, S'Sx> = |Sx|^2");
}

static void filter(void) {
  const double A = 1, C = 1, Q = 1469.1, R = 15099, mean0 = 0, cov0 = 1e7, y[] = {1120, 1160, NAN};
  double mean[3], log_likelihood, P = cov0, m = mean0, want = 0;
  int t;
  check(eigenflow_lds_filter(1, 1, &A, &C, &Q, &R, &mean0, &cov0, EIGENFLOW_ROW_MAJOR, 3, y, 1,
                             mean, &log_likelihood) == EIGENFLOW_OK,
        "filter");
  for (t = 0; t < 3; ++t) {
    if (!isnan(y[t])) {
      const double F = P + R, v = y[t] - m;
      want -= 0.5 * (log(2 * 3.14159265358979323846 * F) + v * v / F);
      m += P / F * v;
      P -= P / F * P;
    }
    check(fabs(mean[t] - m) < 1e-9 * fabs(m), "filtered mean");
    P += Q;
  }
  check(fabs(log_likelihood - want) < 1e-12 * fabs(want), "log-likelihood");
}

static void errors(void) {
  const double one = 1, bad = -1;
  double out = 0;
  check(eigenflow_flow_solve(1, &one, &bad, NULL, 0, 1, &one, 1, &out) == EIGENFLOW_ARGUMENT,
        "a negative eigenvalue is refused");
  check(strstr(eigenflow_error(), "eigenvalues") != NULL, "the message names the argument");
  check(eigenflow_flow_solve(-1, &one, &one, NULL, 0, 1, &one, 1, &out) == EIGENFLOW_ARGUMENT,
        "a negative size is refused");
  check(eigenflow_flow_solve(1, NULL, &one, NULL, 0, 1, &one, 1, &out) == EIGENFLOW_ARGUMENT,
        "a null array is refused");
  check(eigenflow_sine_matvec(1, 1, 1, &one, &one, 7, 1, 1, &one, 1, &out) == EIGENFLOW_ARGUMENT,
        "an unknown order is refused");
  check(eigenflow_bind_blas("no such slot", NULL) == EIGENFLOW_ARGUMENT, "an unknown slot");
  check(eigenflow_blas_name(0) != NULL && eigenflow_blas_name(-1) == NULL, "names of slots");
}

/* Where the build has a BLAS; without one the call says so. */
static void svd(void) {
  const double A[] = {3, 0, 0, 0, 4, 0}; /* 2 x 3, rows */
  double U[4], s[2], Vh[6], error = -1;
  int64_t rank = 0;
  const int status = eigenflow_svd(2, 3, A, EIGENFLOW_ROW_MAJOR, 2, 0, 1, U, s, Vh, &error);
  if (status == EIGENFLOW_OTHER) {
    printf("no svd: %s\n", eigenflow_error());
    return;
  }
  check(status == EIGENFLOW_OK, "svd");
  check(fabs(s[0] - 4) < 1e-14 && fabs(s[1] - 3) < 1e-14, "singular values");
  check(fabs(Vh[1] - 1) < 1e-14 && fabs(Vh[3] - 1) < 1e-14, "right vectors");
  check(eigenflow_svd_rtol(2, 3, A, EIGENFLOW_ROW_MAJOR, 0.7, 2, 0, 1, &rank, U, s, Vh, &error) ==
            EIGENFLOW_OK,
        "svd by tolerance");
  check(rank == 1 && fabs(error - 3) < 1e-13, "rank by tolerance");
}

int main(void) {
  flow();
  sine();
  filter();
  errors();
  svd();
  return failures == 0 ? 0 : 1;
}
