// SPDX-License-Identifier: BSD-3-Clause
#include "flow.hpp"

#include "flow_descend.hpp"
#include "flow_march.hpp"

#include <eigenflow/hd/flow.hpp>
#include <eigenflow/hd/flow_risk.hpp>

namespace {

namespace hd = eigenflow::hd;
using eigenflow::isa::flow_tile;
using eigenflow::isa::flow_times;
using std::int64_t;

constexpr int64_t block = 512; // as many r and r^2 stay in the first cache

void closed_theta_anywhere(const flow_tile &tile, double t, double *__restrict theta) {
  const double *__restrict z = tile.z;
  const double *__restrict lambda = tile.lambda;
  for (int64_t i = 0; i < tile.n; ++i) {
    const double plain = hd::plain_closed_form_theta(z[i], lambda[i], t);
    const double any = hd::closed_form_theta(z[i], hd::closed_form_parts(z[i], lambda[i], t));
    theta[i] = hd::is_plain_time(t) && hd::is_plain(z[i], lambda[i]) ? plain : any;
  }
}

// One time of coordinates that are all plain, which is what the result says.
bool closed_plain_time(const flow_tile &tile, double t, double *__restrict theta) {
  const double *__restrict z = tile.z;
  const double *__restrict lambda = tile.lambda;
  int64_t n_plain = 0;
  for (int64_t i = 0; i < tile.n; ++i) {
    theta[i] = hd::plain_closed_form_theta(z[i], lambda[i], t);
    n_plain += hd::is_plain(z[i], lambda[i]) ? 1 : 0;
  }
  return n_plain == tile.n;
}

// What the times of a block share; false if some coordinates are not plain.
struct block_rates {
  double r[block], twice_squared[block];
  double largest; // of r

  bool fill(const flow_tile &tile) {
    int64_t n_plain = 0, most = 0; // numbers that are not negative are ordered by their bits
    for (int64_t i = 0; i < tile.n; ++i) {
      const hd::plain_rate rate = hd::plain_rate_of(tile.z[i], tile.lambda[i]);
      const int64_t bits = hd::bit_cast<int64_t>(rate.r);
      r[i] = rate.r;
      twice_squared[i] = rate.twice_squared;
      most = bits > most ? bits : most;
      n_plain += hd::is_plain(tile.z[i], tile.lambda[i]) ? 1 : 0;
    }
    largest = hd::bit_cast<double>(most);
    return n_plain == tile.n;
  }
};

// One plain time of a block of plain coordinates. Where none of them is at its end yet, which one
// product tells, the loop does not ask each.
void closed_plain_row(const flow_tile &tile, const block_rates &rates, double t,
                      double *__restrict theta) {
  const double *__restrict z = tile.z;
  const double *__restrict lambda = tile.lambda;
  const double halvings = t * hd::log2_e;
  if (rates.largest * halvings <= hd::plain_halvings)
    for (int64_t i = 0; i < tile.n; ++i)
      theta[i] = hd::plain_theta_after(z[i], lambda[i], {rates.r[i], rates.twice_squared[i]},
                                       rates.r[i] * halvings);
  else
    for (int64_t i = 0; i < tile.n; ++i)
      theta[i] =
          hd::plain_closed_form_theta(z[i], lambda[i], {rates.r[i], rates.twice_squared[i]}, t);
}

// Several times of a block, with r and r^2 computed once: the same bytes as one time after another.
bool closed_plain_block(const flow_tile &tile, const flow_times &times, double *theta,
                        int64_t stride) {
  block_rates rates;
  if (!rates.fill(tile))
    return false;
  for (int64_t k = 0; k < times.n; ++k) {
    const double t = times.t[k];
    double *out = theta + times.row[k] * stride;
    if (hd::is_plain_time(t))
      closed_plain_row(tile, rates, t, out);
    else
      closed_theta_anywhere(tile, t, out);
  }
  return true;
}

bool closed_plain(const flow_tile &tile, const flow_times &times, double *theta, int64_t stride) {
  if (times.n == 1 && hd::is_plain_time(times.t[0]))
    return closed_plain_time(tile, times.t[0], theta + times.row[0] * stride);
  bool plain = true;
  for (int64_t i = 0; i < tile.n && plain; i += block) {
    const int64_t n = tile.n - i < block ? tile.n - i : block;
    plain = closed_plain_block({tile.z + i, tile.lambda + i, nullptr, n}, times, theta + i, stride);
  }
  return plain;
}

// The form of a coordinate depends on its own values only, never on its neighbours in the tile.
void closed_theta(const flow_tile &tile, double t, double *__restrict theta) {
  if (!hd::is_plain_time(t) || !closed_plain_time(tile, t, theta))
    closed_theta_anywhere(tile, t, theta);
}

void closed_fields(const flow_tile &tile, double t, double *__restrict theta,
                   double *__restrict residual, double *__restrict d_z) {
  const double *__restrict z = tile.z;
  const double *__restrict lambda = tile.lambda;
  closed_theta(tile, t, theta);
  for (int64_t i = 0; i < tile.n; ++i) {
    const hd::closed_form c = hd::closed_form_parts(z[i], lambda[i], t);
    residual[i] = hd::closed_form_residual(z[i], c);
    d_z[i] = hd::closed_form_d_z(c);
  }
}

void closed_derivatives(const flow_tile &tile, double t, const double *__restrict theta,
                        double *__restrict d_lambda, double *__restrict d_t) {
  const double *__restrict z = tile.z;
  const double *__restrict lambda = tile.lambda;
  for (int64_t i = 0; i < tile.n; ++i) {
    const hd::closed_form c = hd::closed_form_parts(z[i], lambda[i], t);
    d_lambda[i] = hd::closed_form_d_lambda(c);
    d_t[i] = hd::closed_form_d_t(z[i], theta[i], lambda[i], c);
  }
}

void closed_eigenvalue(const double *__restrict theta, const double *__restrict lambda, int64_t n,
                       double *__restrict out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = hd::closed_form_eigenvalue(theta[i], lambda[i]);
}

void vanilla(const flow_tile &tile, double t, double *__restrict theta) {
  const double *__restrict z = tile.z;
  const double *__restrict lambda = tile.lambda;
  for (int64_t i = 0; i < tile.n; ++i)
    theta[i] = hd::vanilla_flow(z[i], lambda[i], t);
}

double sure_sum(const double *__restrict residual, const double *__restrict d_z,
                const double *__restrict variance, int64_t n) {
  double lane[hd::sum_lanes] = {};
  int64_t i = 0;
  for (; i + hd::sum_lanes <= n; i += hd::sum_lanes)
    for (int l = 0; l < hd::sum_lanes; ++l)
      lane[l] = hd::add_sure(lane[l], residual[i + l], d_z[i + l], variance[i + l]);
  for (int l = 0; i < n; ++i, ++l)
    lane[l] = hd::add_sure(lane[l], residual[i], d_z[i], variance[i]);
  return hd::lane_total(lane);
}

// Eight lanes, as nothing else would let the loops vectorise.
bool all_finite(const double *__restrict x, int64_t n) {
  double lane[8] = {}; // 0, or NaN once a value was not finite
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; ++l)
      lane[l] = hd::fma(x[i + l], 0.0, lane[l]);
  for (int l = 0; i < n; ++i, ++l)
    lane[l] = hd::fma(x[i], 0.0, lane[l]);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
             ((lane[1] + lane[5]) + (lane[3] + lane[7])) ==
         0;
}

bool none_negative(const double *__restrict x, int64_t n) {
  double lane[8] = {}; // the least value that is negative
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; ++l)
      lane[l] = x[i + l] < lane[l] ? x[i + l] : lane[l];
  for (int l = 0; i < n; ++i, ++l)
    lane[l] = x[i] < lane[l] ? x[i] : lane[l];
  double least = 0;
  for (int l = 0; l < 8; ++l)
    least = lane[l] < least ? lane[l] : least;
  return least == 0;
}

void widen(const float *__restrict in, int64_t n, double *__restrict out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = in[i];
}

void narrow(const double *__restrict in, int64_t n, float *__restrict out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(in[i]);
}

} // namespace

EF_ISA_DEFINE(flow,
              {closed_theta, closed_plain, closed_fields, closed_derivatives, closed_eigenvalue,
               vanilla, eigenflow::isa::EF_LEVEL_NS::march,
               eigenflow::isa::EF_LEVEL_NS::march_eigenvalue, eigenflow::isa::EF_LEVEL_NS::descend,
               sure_sum, all_finite, none_negative, widen, narrow})
