// SPDX-License-Identifier: BSD-3-Clause
// One coordinate marches at a time with its 16 nodes side by side in the vector registers, so no
// coordinate waits for a stiffer neighbour. The last step, finding the point of a panel that
// belongs to a time, has no nodes to spread: flow_points.hpp.
#include "flow_march.hpp"
#include "flow_points.hpp"

namespace eigenflow::isa::EF_LEVEL_NS {
namespace {

constexpr int block = 64; // coordinates whose setup is vectorised together

struct shapes {
  double alpha[block], alpha_rest[block], gamma[block], gamma_rest[block];
  double kappa[block], g_inf_squared[block], beta_inf[block], exponent[block];
  double start[block], per_phi[block];

  hd::march_shape at(int i) const {
    return {alpha[i],         alpha_rest[i], gamma[i],    gamma_rest[i], kappa[i],
            g_inf_squared[i], beta_inf[i],   exponent[i], start[i],      per_phi[i]};
  }
};

template <int depth>
void set_up(const double *__restrict z, const double *__restrict lambda,
            const double *__restrict b0, double b_rate, int n, shapes *__restrict out) {
  for (int i = 0; i < n; ++i) {
    const hd::march_shape m = hd::march_setup(z[i], lambda[i], b0[i], depth, b_rate);
    out->alpha[i] = m.alpha;
    out->alpha_rest[i] = m.alpha_rest;
    out->gamma[i] = m.gamma;
    out->gamma_rest[i] = m.gamma_rest;
    out->kappa[i] = m.kappa;
    out->g_inf_squared[i] = m.g_inf_squared;
    out->beta_inf[i] = m.beta_inf;
    out->exponent[i] = m.exponent;
    out->start[i] = m.start;
    out->per_phi[i] = m.per_phi;
  }
}

// The times up to `limit`, in a panel that starts at `at`.
template <int depth, int n_extra>
int64_t collect_times(const panel_start &from, const hd::march_clock &tau_of,
                      const hd::march_position<n_extra> &at, const panel_means &means, double width,
                      double limit, const flow_times &times, int64_t next, const flow_fields &out,
                      pairs<n_extra> &p) {
  while (next < times.n && tau_of(times.t[next]) <= limit) {
    int count = 0;
    for (; next < times.n && p.n + count < lanes; ++next, ++count) {
      const double wanted = tau_of(times.t[next]);
      if (!(wanted <= limit))
        break;
      p.target[p.n + count] = wanted - at.tau;
      p.where[p.n + count] = times.row[next] * out.stride + from.coordinate;
    }
    p.append(from, at, means, width, count);
    if (p.n == lanes)
      solve_pairs<depth>(p, out);
  }
  return next;
}

// The times of one unit panel that ends at tau = end.
template <int depth, int n_extra>
int64_t place_times(const panel_start &from, const hd::march_clock &tau_of,
                    hd::march_position<n_extra> at, double end, bool first_unit,
                    const flow_times &times, int64_t next, const flow_fields &out,
                    pairs<n_extra> &p) {
  for (int part = 0; part < hd::n_parts(first_unit) && next < times.n; ++part) {
    const hd::panel_rule &rule = hd::part_rule(first_unit, part);
    hd::panel_values<n_extra> values;
    evaluate<depth>(from.shape, rule, at.y, values);
    const double tau = at.tau + hd::integral(values.time, rule);
    const double limit = part == hd::n_parts(first_unit) - 1 ? end : tau;
    if (tau_of(times.t[next]) <= limit) {
      const panel_means means(values.time, n_extra > 0 ? values.extra[hd::in_z] : nullptr);
      next = collect_times<depth>(from, tau_of, at, means, rule.width, limit, times, next, out, p);
    }
    hd::cross_part(rule, values, tau, at);
  }
  return next;
}

// The times before the march begins, if its eigenvalue was raised.
template <int depth>
int64_t place_early(const panel_start &from, const flow_times &times, const flow_fields &out) {
  int64_t next = 0;
  for (; from.shape.start > 0 && next < times.n; ++next) {
    const double tau = hd::march_tau(from.shape, times.t[next], depth);
    if (!hd::march_is_early(from.shape, tau))
      break;
    const double phi = tau / from.shape.per_phi;
    const auto [z, lambda, b0] = from.start;
    put_point(hd::early_point(z, lambda, b0, times.t[next], phi, depth),
              times.row[next] * out.stride + from.coordinate, out);
  }
  return next;
}

template <int depth, int n_extra>
void place_rest(const panel_start &from, const hd::march_position<n_extra> &at,
                const flow_times &times, int64_t next, const flow_fields &out) {
  const hd::march_shape m = from.shape; // a copy: what does not depend on time leaves the loop
  const hd::march_position<n_extra> end = at;
  for (; next < times.n; ++next)
    put_point(hd::march_tail(from.start, m, depth, end, times.t[next]),
              times.row[next] * out.stride + from.coordinate, out);
}

template <int depth, int n_extra>
void march_one(const panel_start &from, const flow_times &times, const flow_fields &out,
               pairs<n_extra> &p) {
  const double n_panels = hd::march_panels(from.shape);
  const hd::march_clock tau_of(from.shape, depth);
  hd::march_position<n_extra> at(from.shape, depth);
  int64_t next = place_early<depth>(from, times, out);
  for (double panel = 0; panel < n_panels && next < times.n; ++panel) {
    hd::panel_values<n_extra> values;
    evaluate<depth>(from.shape, hd::whole_panel(), at.y, values);
    const double tau = at.tau + hd::integral(values.time, hd::whole_panel());
    if (tau_of(times.t[next]) <= tau)
      next = place_times<depth>(from, tau_of, at, tau, panel == 0, times, next, out, p);
    hd::cross_unit(from.shape, depth, panel == 0, values, tau, at);
  }
  place_rest<depth>(from, at, times, next, out);
}

template <int depth>
void stay(const panel_start &from, const flow_times &times, const flow_fields &out) {
  for (int64_t time = 0; time < times.n; ++time)
    put_point(hd::saddle_point(from.start, times.t[time], depth),
              times.row[time] * out.stride + from.coordinate, out);
}

template <int depth>
void stay_frozen(const panel_start &from, const flow_times &times, const flow_fields &out) {
  const auto [z, lambda, b0] = from.start;
  for (int64_t time = 0; time < times.n; ++time)
    put_point(hd::frozen_point(z, lambda, b0, times.t[time], depth),
              times.row[time] * out.stride + from.coordinate, out);
}

template <int depth, int n_extra>
void march_tile(double b_rate, const flow_tile &tile, const flow_times &times,
                const flow_fields &out) {
  shapes shape;
  pairs<n_extra> p{};
  for (int64_t begin = 0; begin < tile.n; begin += block) {
    const int n = static_cast<int>(tile.n - begin < block ? tile.n - begin : block);
    set_up<depth>(tile.z + begin, tile.lambda + begin, tile.b0 + begin, b_rate, n, &shape);
    for (int i = 0; i < n; ++i) {
      const int64_t j = begin + i;
      const hd::march_shape m = shape.at(i);
      const panel_start from{m, {tile.z[j], tile.lambda[j], tile.b0[j]}, j};
      if (hd::is_saddle(from.start))
        stay<depth>(from, times, out);
      else if (hd::march_is_frozen(m, depth))
        stay_frozen<depth>(from, times, out);
      else
        march_one<depth>(from, times, out, p);
    }
  }
  solve_rest<depth>(p, out);
}

// The integrals that the wanted fields need.
template <int depth>
void march_wanted(double b_rate, const flow_tile &tile, const flow_times &times,
                  const flow_fields &out) {
  if (out.d_lambda != nullptr || out.d_b0 != nullptr)
    march_tile<depth, 3>(b_rate, tile, times, out);
  else if (out.d_z != nullptr)
    march_tile<depth, 1>(b_rate, tile, times, out);
  else
    march_tile<depth, 0>(b_rate, tile, times, out);
}

template <int depth> void eigenvalues_of(double b_rate, const flow_tile &tile, double *out) {
  for (int64_t i = 0; i < tile.n; ++i)
    out[i] = hd::learned_eigenvalue(tile.z[i], tile.lambda[i], tile.b0[i], depth, b_rate);
}

} // namespace

#define EF_FOR_DEPTH(function, ...)                                                                \
  switch (depth) {                                                                                 \
  case 1:                                                                                          \
    return function<1>(__VA_ARGS__);                                                               \
  case 2:                                                                                          \
    return function<2>(__VA_ARGS__);                                                               \
  case 3:                                                                                          \
    return function<3>(__VA_ARGS__);                                                               \
  case 4:                                                                                          \
    return function<4>(__VA_ARGS__);                                                               \
  case 5:                                                                                          \
    return function<5>(__VA_ARGS__);                                                               \
  case 6:                                                                                          \
    return function<6>(__VA_ARGS__);                                                               \
  case 7:                                                                                          \
    return function<7>(__VA_ARGS__);                                                               \
  default:                                                                                         \
    return function<8>(__VA_ARGS__);                                                               \
  }

void march(int depth, double b_rate, const flow_tile &tile, const flow_times &times,
           const flow_fields &out) {
  EF_FOR_DEPTH(march_wanted, b_rate, tile, times, out)
}

void march_eigenvalue(int depth, double b_rate, const flow_tile &tile, double *out) {
  EF_FOR_DEPTH(eigenvalues_of, b_rate, tile, out)
}

} // namespace eigenflow::isa::EF_LEVEL_NS
