// SPDX-License-Identifier: BSD-3-Clause
// One coordinate marches at a time with its 16 nodes side by side in the vector registers, so no
// coordinate waits for a stiffer neighbour. The last step, finding the point of a panel that
// belongs to a time, has no nodes to spread: eight (coordinate, time) pairs are collected and
// solved side by side. Lanes never mix, so a result depends on its own coordinate only.
#include "flow_march.hpp"

#include <eigenflow/hd/flow_march.hpp>

namespace {

namespace hd = eigenflow::hd;
using eigenflow::isa::flow_fields;
using eigenflow::isa::flow_tile;
using eigenflow::isa::flow_times;
using hd::panel_nodes;
using std::int64_t;

constexpr int lanes = 8;
#ifdef __GNUC__
using lane_vector = double __attribute__((vector_size(lanes * sizeof(double)), may_alias));
#endif
constexpr int block = 64; // coordinates whose setup is vectorised together

struct shapes {
  double alpha[block], alpha_rest[block], gamma[block], gamma_rest[block];
  double kappa[block], g_inf_squared[block], beta_inf[block], exponent[block];

  hd::march_shape at(int i) const {
    return {alpha[i], alpha_rest[i],    gamma[i],    gamma_rest[i],
            kappa[i], g_inf_squared[i], beta_inf[i], exponent[i]};
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
  }
}

// Integrands at the nodes of a panel: dtau/dy, and that over 1 - s G for the derivative in z.
struct panel_values {
  double time[panel_nodes], influence[panel_nodes];
};

template <int depth>
void evaluate(const hd::march_shape &m, const hd::panel_rule &rule, hd::sinh_cosh start,
              panel_values &out) {
  for (int i = 0; i < panel_nodes; ++i) {
    const double s = hd::fma(start.sinh, rule.cosh_u[i], start.cosh * rule.sinh_u[i]);
    const double c = hd::fma(start.cosh, rule.cosh_u[i], start.sinh * rule.sinh_u[i]);
    const hd::march_node node = hd::march_at(m, s, c, depth);
    out.time[i] = node.slope;
    out.influence[i] = node.slope * node.inverse_error;
  }
}

double integral(const double *values, const hd::panel_rule &rule) {
  double lane[4] = {};
  for (int i = 0; i < panel_nodes; i += 4)
    for (int l = 0; l < 4; ++l)
      lane[l] = hd::fma(rule.weight[i + l], values[i + l], lane[l]);
  return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

// Eight pairs of a coordinate and a time, each with the panel that holds its time.
struct pairs {
  int n = 0;
  alignas(64) double mean[panel_nodes][lanes], influence_mean[panel_nodes][lanes];
  alignas(64) double width[lanes], target[lanes];
  double start_sinh[lanes], start_cosh[lanes], influence[lanes];
  double z[lanes], alpha[lanes], alpha_rest[lanes], gamma[lanes], gamma_rest[lanes], kappa[lanes];
  double g_inf_squared[lanes], beta_inf[lanes], exponent[lanes];
  int64_t where[lanes];
};

// u inside each panel, and the mean of the second integrand up to there.
void find_points(const pairs &p, bool with_influence, double *u, double *mean) {
#ifdef __GNUC__
  const auto vectors = [](const double *x) { return reinterpret_cast<const lane_vector *>(x); };
  const lane_vector width = *vectors(p.width);
  lane_vector point;
  hd::invert_mean(vectors(p.mean[0]), width, *vectors(p.target), point);
  *reinterpret_cast<lane_vector *>(u) = point;
  const lane_vector x = point * (2 / width) - 1;
  *reinterpret_cast<lane_vector *>(mean) =
      with_influence ? hd::chebyshev(vectors(p.influence_mean[0]), x).value : x - x;
#else
  for (int l = 0; l < lanes; ++l) {
    double time_mean[panel_nodes], influence_mean[panel_nodes];
    for (int k = 0; k < panel_nodes; ++k) {
      time_mean[k] = p.mean[k][l];
      influence_mean[k] = p.influence_mean[k][l];
    }
    hd::invert_mean(time_mean, p.width[l], p.target[l], u[l]);
    const double x = u[l] * (2 / p.width[l]) - 1;
    mean[l] = with_influence ? hd::chebyshev<double>(influence_mean, x).value : 0;
  }
#endif
}

template <int depth> void solve_pairs(pairs &p, const flow_fields &out) {
  alignas(64) double u[lanes], mean[lanes];
  double theta[lanes], residual[lanes], beta[lanes], eigenvalue[lanes], gradient[lanes];
  find_points(p, out.gradient != nullptr, u, mean);
  for (int l = 0; l < lanes; ++l) {
    const hd::march_shape m{p.alpha[l], p.alpha_rest[l],    p.gamma[l],    p.gamma_rest[l],
                            p.kappa[l], p.g_inf_squared[l], p.beta_inf[l], p.exponent[l]};
    const hd::sinh_cosh step = hd::small_sinh_cosh(u[l]);
    const double s = hd::fma(p.start_sinh[l], step.cosh, p.start_cosh[l] * step.sinh);
    const hd::march_point point = hd::march_state(m, s, depth);
    theta[l] = p.z[l] * point.fit;
    residual[l] = p.z[l] * point.error;
    beta[l] = hd::scale_by_power(p.beta_inf[l] * point.s, p.exponent[l]);
    eigenvalue[l] = hd::march_tau(m, point.gain, depth);
    gradient[l] = point.rate * point.error * hd::fma(u[l], mean[l], p.influence[l]);
  }
  for (int l = 0; l < p.n; ++l) {
    const int64_t i = p.where[l];
    if (out.theta != nullptr)
      out.theta[i] = theta[l];
    if (out.residual != nullptr)
      out.residual[i] = residual[l];
    if (out.beta != nullptr)
      out.beta[i] = p.z[l] < 0 ? -beta[l] : beta[l];
    if (out.eigenvalue != nullptr)
      out.eigenvalue[i] = eigenvalue[l];
    if (out.gradient != nullptr)
      out.gradient[i] = gradient[l];
  }
  p.n = 0;
}

// Where a march stands at the start of a panel.
struct march_position {
  double tau = 0;       // int dtau
  double influence = 0; // int dtau / (1 - s G)
  hd::sinh_cosh y{0, 1};
};

struct panel_start {
  const hd::march_shape &shape;
  double z;
  int64_t coordinate;
};

hd::sinh_cosh advance(hd::sinh_cosh y, double sinh_h, double cosh_h) {
  return {hd::fma(y.sinh, cosh_h, y.cosh * sinh_h), hd::fma(y.cosh, cosh_h, y.sinh * sinh_h)};
}

void append(pairs &p, const panel_start &from, const march_position &at, const double *mean,
            const double *influence_mean, double width, double tau, int64_t where) {
  const int l = p.n;
  for (int k = 0; k < panel_nodes; ++k)
    p.mean[k][l] = mean[k];
  if (influence_mean != nullptr)
    for (int k = 0; k < panel_nodes; ++k)
      p.influence_mean[k][l] = influence_mean[k];
  p.width[l] = width;
  p.target[l] = tau - at.tau;
  p.start_sinh[l] = at.y.sinh;
  p.start_cosh[l] = at.y.cosh;
  p.influence[l] = at.influence;
  p.z[l] = from.z;
  p.alpha[l] = from.shape.alpha;
  p.alpha_rest[l] = from.shape.alpha_rest;
  p.gamma[l] = from.shape.gamma;
  p.gamma_rest[l] = from.shape.gamma_rest;
  p.kappa[l] = from.shape.kappa;
  p.g_inf_squared[l] = from.shape.g_inf_squared;
  p.beta_inf[l] = from.shape.beta_inf;
  p.exponent[l] = from.shape.exponent;
  p.where[l] = where;
  ++p.n;
}

// The times of one unit panel that ends at tau = end, in narrower panels whose interpolant is good
// to round-off: the first unit, near whose start the integrand may have singularities, in three.
template <int depth>
int64_t place_times(const panel_start &from, march_position at, double end, bool first_unit,
                    const flow_times &times, int64_t next, const flow_fields &out, pairs &p) {
  const int n_parts = first_unit ? 3 : 2;
  for (int part = 0; part < n_parts && next < times.n; ++part) {
    const bool quarter = first_unit && part < 2, last = part == n_parts - 1;
    const hd::panel_rule &rule = quarter ? hd::quarter_panel() : hd::half_panel();
    panel_values values;
    evaluate<depth>(from.shape, rule, at.y, values);
    const double tau = at.tau + integral(values.time, rule);
    const double limit = last ? end : tau;
    double mean[panel_nodes], influence_mean[panel_nodes];
    bool ready = false;
    for (; next < times.n; ++next) {
      const double wanted = hd::march_tau(from.shape, times.t[next], depth);
      if (!(wanted <= limit))
        break;
      if (!ready) {
        hd::running_mean(values.time, mean);
        if (out.gradient != nullptr)
          hd::running_mean(values.influence, influence_mean);
        ready = true;
      }
      append(p, from, at, mean, out.gradient != nullptr ? influence_mean : nullptr, rule.width,
             wanted, times.row[next] * out.stride + from.coordinate);
      if (p.n == lanes)
        solve_pairs<depth>(p, out);
    }
    at.tau = tau;
    if (out.gradient != nullptr)
      at.influence += integral(values.influence, rule);
    const hd::sinh_cosh width = hd::small_sinh_cosh(rule.width);
    at.y = advance(at.y, width.sinh, width.cosh);
  }
  return next;
}

// Past the last panel 1 - s is below round-off and decays exponentially.
template <int depth>
void place_rest(const panel_start &from, const march_position &at, const flow_times &times,
                int64_t next, const flow_fields &out) {
  const hd::march_shape &m = from.shape;
  const double error = hd::march_state(m, at.y.sinh, depth).error;
  const double rate = hd::march_last_rate(m, depth);
  const double beta = hd::scale_by_power(m.beta_inf, m.exponent);
  for (; next < times.n; ++next) {
    const double x = rate * (hd::march_tau(m, times.t[next], depth) - at.tau);
    const double left = x < 700 ? error * hd::exp_minus(x).exp : 0;
    const int64_t i = times.row[next] * out.stride + from.coordinate;
    if (out.theta != nullptr)
      out.theta[i] = from.z * (1 - left);
    if (out.residual != nullptr)
      out.residual[i] = from.z * left;
    if (out.beta != nullptr)
      out.beta[i] = from.z < 0 ? -beta : beta;
    if (out.eigenvalue != nullptr)
      out.eigenvalue[i] = hd::march_tau(m, 1.0, depth);
    if (out.gradient != nullptr)
      out.gradient[i] = 1;
  }
}

template <int depth>
void march_one(const panel_start &from, const flow_times &times, const flow_fields &out, pairs &p) {
  constexpr double sinh_1 = 1.1752011936438014, cosh_1 = 1.5430806348152437;
  const double n_panels = hd::march_panels(from.shape);
  march_position at;
  int64_t next = 0;
  for (double panel = 0; panel < n_panels && next < times.n; ++panel) {
    panel_values values;
    evaluate<depth>(from.shape, hd::whole_panel(), at.y, values);
    const double tau = at.tau + integral(values.time, hd::whole_panel());
    if (hd::march_tau(from.shape, times.t[next], depth) <= tau)
      next = place_times<depth>(from, at, tau, panel == 0, times, next, out, p);
    at.tau = tau;
    if (out.gradient != nullptr)
      at.influence += integral(values.influence, hd::whole_panel());
    at.y = advance(at.y, sinh_1, cosh_1);
  }
  place_rest<depth>(from, at, times, next, out);
}

// An eigenvalue or a b0 of zero: nothing ever moves.
void stay(double z, int64_t coordinate, const flow_times &times, const flow_fields &out) {
  for (int64_t time = 0; time < times.n; ++time) {
    const int64_t i = times.row[time] * out.stride + coordinate;
    double *const zeros[] = {out.theta, out.beta, out.eigenvalue, out.gradient};
    for (double *field : zeros)
      if (field != nullptr)
        field[i] = 0;
    if (out.residual != nullptr)
      out.residual[i] = z;
  }
}

template <int depth>
void march_tile(double b_rate, const flow_tile &tile, const flow_times &times,
                const flow_fields &out) {
  shapes shape;
  pairs p{};
  for (int64_t begin = 0; begin < tile.n; begin += block) {
    const int n = static_cast<int>(tile.n - begin < block ? tile.n - begin : block);
    set_up<depth>(tile.z + begin, tile.lambda + begin, tile.b0 + begin, b_rate, n, &shape);
    for (int i = 0; i < n; ++i) {
      const int64_t j = begin + i;
      if (tile.lambda[j] == 0 || tile.b0[j] == 0)
        stay(tile.z[j], j, times, out);
      else
        march_one<depth>({shape.at(i), tile.z[j], j}, times, out, p);
    }
  }
  for (int l = p.n; l < lanes && p.n > 0; ++l)
    p.width[l] = 1, p.mean[0][l] = 1, p.target[l] = 0; // idle lanes compute something finite
  if (p.n > 0)
    solve_pairs<depth>(p, out);
}

template <int depth> void eigenvalues_of(double b_rate, const flow_tile &tile, double *out) {
  for (int64_t i = 0; i < tile.n; ++i) {
    const double theta = tile.z[i], lambda = tile.lambda[i], b0 = tile.b0[i];
    const hd::march_shape m = hd::march_setup(theta, lambda, b0, depth, b_rate);
    const double b = hd::power_of(b0, depth);
    out[i] = theta == 0 ? lambda * b * b : hd::march_tau(m, 1.0, depth);
  }
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

namespace eigenflow::isa::EF_LEVEL_NS {

void march(int depth, double b_rate, const flow_tile &tile, const flow_times &times,
           const flow_fields &out) {
  EF_FOR_DEPTH(march_tile, b_rate, tile, times, out)
}

void march_eigenvalue(int depth, double b_rate, const flow_tile &tile, double *out) {
  EF_FOR_DEPTH(eigenvalues_of, b_rate, tile, out)
}

} // namespace eigenflow::isa::EF_LEVEL_NS
