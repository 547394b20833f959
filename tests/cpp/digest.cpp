// SPDX-License-Identifier: BSD-3-Clause
// Prints the bits of many results, a line for each module and function, so that machines can be
// compared. Inputs come from random words, hence without a maths library.
#include <eigenflow/cpu.hpp>
#include <eigenflow/flow.hpp>
#include <eigenflow/lds.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/sine.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using eigenflow::row_major;
namespace flow = eigenflow::flow;
namespace lds = eigenflow::lds;
namespace sine = eigenflow::sine;

std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }

// FNV-1a of the numbers; every NaN counts as the same.
template <class T> void say(const char *name, const std::vector<T> &values) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (T value : values) {
    if (value != value)
      value = std::numeric_limits<T>::quiet_NaN();
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof value);
    for (const unsigned char byte : bytes)
      hash = (hash ^ byte) * 0x100000001b3;
  }
  std::printf("%s %016llx\n", name, static_cast<unsigned long long>(hash));
}

// Uniform in [low, high), of 32 random bits each. high - low is a power of two: no compiler rounds
// differently by fusing.
template <class T>
std::vector<T> numbers(std::uint64_t key, std::int64_t n, double low, double high) {
  std::vector<std::uint32_t> words(count(n));
  eigenflow::rng::fill_words(key, 0, 0, row_major(words.data(), 1, n));
  std::vector<T> out;
  for (const auto word : words)
    out.push_back(static_cast<T>(low + (high - low) * (word * 0x1p-32)));
  return out;
}

template <class T> void say_random(const char *name) {
  std::vector<T> z(300 * 200);
  eigenflow::rng::fill_normals(7, 3, 5, row_major(z.data(), 300, 200));
  say(name, z);
}

template <class T> void say_sine(const char *name, const char *product) {
  constexpr std::int64_t m = 150, n = 130, k = 9, t = 3;
  const auto u = numbers<T>(1, m * k, -1, 1), v = numbers<T>(2, n * k, -1, 1),
             x = numbers<T>(3, n * t, -1, 1);
  const auto U = row_major(u.data(), m, k), V = row_major(v.data(), n, k);
  std::vector<T> w(count(m * n)), y(count(m * t));
  sine::entries<T>(U, V, row_major(w.data(), m, n), {30.0, 2.0});
  sine::apply<T>(U, V, row_major(x.data(), n, t), row_major(y.data(), m, t), {30.0, 2.0});
  say(name, w);
  say(product, y);
}

void say_flow() {
  constexpr std::int64_t n = 3000;
  const auto z = numbers<double>(4, n, -2, 2), eigenvalues = numbers<double>(5, n, 0, 1),
             b0 = numbers<double>(6, n, 0.0625, 1.0625),
             variance = numbers<double>(7, n, 0.125, 0.25);
  const double times[] = {0.3, 2.0, 40.0, std::numeric_limits<double>::infinity()};
  const eigenflow::vector_view<const double> at{times, 4};
  const flow::coordinates<double> in{row_major(z.data(), 1, n), row_major(eigenvalues.data(), 1, n),
                                     row_major(b0.data(), 1, n)};
  std::vector<double> theta(count(4 * n)), sums(4);
  flow::vanilla({}, in, at, theta.data());
  say("flow.vanilla", theta);
  for (const int depth : {0, 1, 2, 5}) {
    char name[40];
    flow::options options;
    options.depth = depth;
    flow::solve(options, in, at, theta.data());
    std::snprintf(name, sizeof name, "flow.solve.depth%d", depth);
    say(name, theta);
    std::vector<double> descended(count(n));
    const std::int64_t last[] = {50};
    flow::fields<double> out;
    out.theta = descended.data();
    flow::descend(options, in, 0.05, 50, {last, 1}, out);
    std::snprintf(name, sizeof name, "flow.descend.depth%d", depth);
    say(name, descended);
    flow::link_fields<double> linked;
    linked.theta = descended.data();
    flow::link(options, in, linked);
    std::snprintf(name, sizeof name, "flow.link.depth%d", depth);
    say(name, descended);
    flow::sure(options, in, row_major(variance.data(), 1, n), at, row_major(sums.data(), 4, 1));
    std::snprintf(name, sizeof name, "flow.sure.depth%d", depth);
    say(name, sums);
  }
}

// Three states that are seen through two series: gaps, a long steady run and its smoothing.
void say_lds() {
  constexpr std::int64_t n = 3, p = 2, steps = 6000;
  const double A[] = {0.9, 0.2, 0, -0.1, 0.8, 0.1, 0, 0.05, 0.95}, C[] = {1, 0, 0.5, 0, 1, -0.25},
               Q[] = {0.1, 0.02, 0, 0.02, 0.2, 0, 0, 0, 0.05}, R[] = {1, 0.3, 0.3, 0.5};
  const lds::model model{row_major(A, n, n), row_major(C, p, n), row_major(Q, n, n),
                         row_major(R, p, p)};
  const lds::belief start{{0, 0, 0}, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {}, 0};
  auto y = numbers<double>(8, steps * p, -1, 1);
  for (std::int64_t i = 0; i < 40; ++i)
    y[count(37 * i)] = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> means(count(steps * n)), terms(count(steps));
  lds::filter_outputs out;
  out.filtered_mean = row_major(means.data(), steps, n);
  out.log_likelihood_terms = {terms.data(), steps};
  const lds::observations series(row_major(static_cast<const double *>(y.data()), steps, p));
  const auto law = lds::filter(model, start, series, out, {});
  say("lds.filter.means", means);
  say("lds.filter.covariance", law.final_state.cov);
  say("lds.filter.log_likelihood", terms);
  lds::smoother_outputs smoothed;
  smoothed.smoothed_mean = row_major(means.data(), steps, n);
  lds::smooth(model, start, series, smoothed, {});
  say("lds.smooth", means);
}

} // namespace

int main() {
  std::printf("level %s\n", eigenflow::cpu_level_name(eigenflow::active_cpu_level()));
  say("rng.words", numbers<double>(9, 50'000, 0, 1));
  say_random<float>("rng.normals.float");
  say_random<double>("rng.normals.double");
  say_sine<float>("sine.entries.float", "sine.apply.float");
  say_sine<double>("sine.entries.double", "sine.apply.double");
  say_flow();
  say_lds();
}
