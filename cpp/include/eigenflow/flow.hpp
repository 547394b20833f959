// SPDX-License-Identifier: BSD-3-Clause
// Exact gradient flow of over-parameterised sequence models (Li, Lin, arXiv 2409.00894). Each
// coordinate fits its own observation z by theta = a b^depth beta, starting from a = sqrt of the
// initial eigenvalue, b = b0, beta = 0, on the loss 1/2 (theta - z)^2.
#pragma once

#include <eigenflow/communicator.hpp>
#include <eigenflow/views.hpp>

#include <vector>

namespace eigenflow::flow {

inline constexpr int max_depth = 8;

// shared: one b whose power `depth` enters, as in the paper; separate: `depth` equal factors, each
// trained by its own gradient.
enum class coupling { shared, separate };

// What evolve looks for in the pass that computes: nothing; negative eigenvalues and b0; these, NaN
// and infinity.
enum class input_check { none, sign, finite };

struct options {
  int depth = 0; // 0 to max_depth
  coupling factors = coupling::shared;
  int workers = 0; // results are the same bytes for any number
  input_check check = input_check::none;
};

// Broadcast over rows or columns by a stride of zero. `b0` is read at depth >= 1 only.
template <class T> struct coordinates {
  matrix_view<const T> z;
  matrix_view<const T> eigenvalues;
  matrix_view<const T> b0;
};

// Where results go: packed memory of times.size x rows x cols each; null is not wanted, and not
// computed where that saves time.
template <class T> struct fields {
  T *theta = nullptr;
  T *residual = nullptr; // z - theta, relatively accurate
  T *a = nullptr;
  T *b = nullptr; // 1 at depth 0
  T *beta = nullptr;
  T *learned_eigenvalues = nullptr; // (a b^depth)^2
  T *d_z = nullptr;                 // derivatives of theta
  T *d_eigenvalues = nullptr;
  T *d_b0 = nullptr; // 0 at depth 0
  T *d_times = nullptr;
};

// Derivatives at a saddle are limits from the right: with an eigenvalue of 0, d theta / d
// eigenvalue is b0^depth sinh(2 b0^depth z t) / 2 (b0^depth = 1 at depth 0), all others are 0; with
// b0 = 0 all are. What exceeds the largest number of T is that number, so that no product with it
// is NaN.
//
// The state at the given times, in any order, infinity included. Relative error of theta and
// residual: 20 eps max(1, K t), K = d theta' / d theta at theta = z. float is computed in double
// and rounded. Cost for one time, one core with AVX2: 5 ns a coordinate at depth 0, about
// 400 ns at depth >= 1; more times share one march. At depth >= 1 that accuracy needs b0 above
// 1e-12 in the problem's own scale, max(b0, |z|^(1/(depth+2))); below it the start of a flow is
// mistimed. Zeros stay zero: a saddle that the flow never leaves. Memory: up to 700 KiB a
// worker, for any number of times. False if opts.check finds something; results are then
// incomplete.
template <class T>
bool evolve(const options &opts, const coordinates<T> &in, vector_view<const double> times,
            const fields<T> &out);

// theta alone.
template <class T>
bool solve(const options &opts, const coordinates<T> &in, vector_view<const double> times,
           T *theta) {
  fields<T> out;
  out.theta = theta;
  return evolve(opts, in, times, out);
}

// Coordinates that are spread over ranks need nothing of each other. Each solves its own, of any
// number, zero included; the loss 1/2 sum (theta - z)^2 of all coordinates is summed over the ranks
// and returned for each time: times.size numbers, one message.
template <class T>
std::vector<double> solve(const options &opts, const coordinates<T> &in,
                          vector_view<const double> times, T *theta, const rank_group &ranks);
template <class T, communicator C>
std::vector<double> solve(const options &opts, const coordinates<T> &in,
                          vector_view<const double> times, T *theta, const C &comm) {
  const group_of<C> ranks(comm);
  return solve(opts, in, times, theta, static_cast<const rank_group &>(ranks));
}

// When theta / z reaches the given fractions, each in [0, 1]: 0 for 0, infinity for 1 and at a
// saddle, and the limit of small z at z = 0. out: fractions.size x rows x cols, packed. About 0.1
// us a coordinate and fraction at depth 0, a few us at depth >= 1.
template <class T>
void hitting_time(const options &opts, const coordinates<T> &in,
                  vector_view<const double> fractions, double *out);

// Gradient descent with a constant step: all factors move at once, by gradients at their old
// values. The states after the recorded steps (any order, each in [0, n_steps]) go to out, one
// block of rows x cols for each; out.d_* must be null. A state that is no longer finite ends
// in an argument_error that names the first such step and its coordinate. A few operations a
// coordinate and step, in double, in registers and the first cache.
template <class T>
void descend(const options &opts, const coordinates<T> &in, double step_size, index n_steps,
             vector_view<const index> record, const fields<T> &out);

// theta = (1 - exp(-eigenvalue t)) z: the flow of beta alone. Opts.depth is not looked at.
template <class T>
void vanilla(const options &opts, const coordinates<T> &in, vector_view<const double> times,
             T *theta);

// (a b^depth)^2 at the state whose product theta is given in in.z; rows x cols, packed.
template <class T> void learned_eigenvalues(const options &opts, const coordinates<T> &in, T *out);

// Where `link` puts its results: packed rows x cols each, null is not wanted.
template <class T> struct link_fields {
  T *beta = nullptr;
  T *theta = nullptr; // a b^depth beta
  T *rate = nullptr;  // d theta / d v
};

// The link of coupled problems (regression): a coordinate that is pushed by any force f, as
//   a' = b^depth beta f, b' = depth a b^(depth-1) beta f, beta' = a b^depth f,
// is a function of v = int f dt alone, which is given in in.z: v = int_0^beta ds / (a b^depth).
// Depth 0: beta = sqrt(eigenvalue) sinh v. At depth >= 1 the flow reaches infinity at a finite v,
// and is infinite from there on. Odd in v; 0 at a saddle. Error: a few eps max(1, d ln beta / d ln
// v). Cost on one core: some 40 ns a coordinate at depth 0, 100 ns at depths 1 and 2, about 1 us
// deeper.
template <class T>
void link(const options &opts, const coordinates<T> &in, const link_fields<T> &out);

// Stein's unbiased estimate of sum (theta - signal)^2 over the columns of each row, if z is the
// signal plus independent Gaussian noise of variance noise_variance:
//   sum (z - theta)^2 + 2 variance d theta / d z - variance.
// out is times.size x rows. Sums run in double, in a fixed order.
template <class T>
void sure(const options &opts, const coordinates<T> &in, matrix_view<const T> noise_variance,
          vector_view<const double> times, matrix_view<double> out);

inline constexpr double least_rtol = 1e-12;

// The mean of sum (theta - signal)^2 over the columns of each row, for z = signal + Gaussian noise
// of variance noise_variance; in.z holds the signal. Quadrature over the noise of every coordinate
// with an error below rtol, from least_rtol to 0.1, of the larger of its own mean and a lower bound
// of its row's average. out is times.size x rows. At rtol = 1e-8 it costs some 30 to 60 times as
// much as `solve` where theta varies on the scale of the noise, and some 500 times where it jumps
// within a small part of that; many times share the marches.
template <class T>
void expected_risk(const options &opts, const coordinates<T> &in,
                   matrix_view<const T> noise_variance, vector_view<const double> times,
                   double rtol, matrix_view<double> out);

} // namespace eigenflow::flow
